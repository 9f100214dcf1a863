package api

// ArchivedSite tells how much of each kind an archive holds after archiving or
// restoring all of them together.
type ArchivedSite struct {
	Revision   string `json:"revision"`
	Properties int    `json:"properties"`
	Tags       int    `json:"tags"`
	Ranges     int    `json:"ranges"`
	Execs      int    `json:"execs" doc:"exec configurations"`
}
