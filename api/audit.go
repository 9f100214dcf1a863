package api

import "time"

// AuditRecord is a change that was asked for: who, what, when, and what became
// of it.
type AuditRecord struct {
	Time      time.Time `json:"time" doc:"when it was asked for"`
	UID       *int      `json:"uid,omitempty" doc:"user id at the other end of the socket; absent over TCP"`
	User      string    `json:"user,omitempty" doc:"the name of that user"`
	PID       int       `json:"pid,omitempty" doc:"the process that had connected"`
	Token     string    `json:"token,omitempty" doc:"the name of the token that was shown"`
	Address   string    `json:"address,omitempty" doc:"over TCP"`
	Operation string    `json:"operation" doc:"the operationId of this document"`
	Subject   string    `json:"subject,omitempty" doc:"to what; no secrets"`
	Status    int       `json:"status" doc:"the HTTP status of the answer; 499 where the client did not wait for it"`
	Code      string    `json:"code,omitempty" doc:"the code of the problem that was answered"`
}
