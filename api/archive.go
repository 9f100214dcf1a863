package api

// ArchivedSite tells how much of each kind an archive holds after archiving or
// restoring all of them together.
type ArchivedSite struct {
	Revision   string `json:"revision" doc:"the name of the archive"`
	Properties int    `json:"properties" doc:"how many properties"`
	Tags       int    `json:"tags" doc:"how many tags"`
	Ranges     int    `json:"ranges" doc:"how many ranges"`
	Execs      int    `json:"execs" doc:"exec configurations"`
}
