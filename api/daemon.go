package api

import "time"

// Daemon tells about the daemon that answers.
type Daemon struct {
	Version   string    `json:"version" doc:"of its build"`
	PID       int       `json:"pid" doc:"its process id, in its pid namespace"`
	Home      string    `json:"home" doc:"its state folder"`
	Socket    string    `json:"socket" doc:"the path of its unix socket"`
	Listen    string    `json:"listen,omitempty" doc:"the TCP address that it answers on too, with TLS"`
	StartedAt time.Time `json:"startedAt" doc:"when it began to answer"`
	Processes int       `json:"processes" doc:"how many run"`
	RSSBytes  int64     `json:"rssBytes" doc:"its resident memory"`
}
