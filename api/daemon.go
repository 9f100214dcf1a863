package api

import "time"

// Daemon tells about the daemon that answers.
type Daemon struct {
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
	Home      string    `json:"home" doc:"its state folder"`
	Socket    string    `json:"socket"`
	Listen    string    `json:"listen,omitempty" doc:"the TCP address that it answers on too, with TLS"`
	StartedAt time.Time `json:"startedAt"`
	Processes int       `json:"processes" doc:"how many run"`
	RSSBytes  int64     `json:"rssBytes" doc:"its resident memory"`
}
