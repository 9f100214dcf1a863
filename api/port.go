package api

import "time"

// What is known of a port that is asked about.
const (
	PortUnmanaged = "unmanaged" // it is in no range, and not leased
	PortAvailable = "available" // it is in a range, and can be leased
	PortPending   = "pending"   // a lease of it is just being made or ended
	PortAside     = "set-aside" // something else is bound to it
)

// What a socket does on a port.
const (
	SocketListening = "listening"
	SocketBound     = "bound"     // of UDP, or not listening yet
	SocketConnected = "connected" // to somebody else
)

// PortWho is what is known of one port, whether Berth manages it or not: its
// lease, and who is bound to it.
type PortWho struct {
	Protocol string        `json:"protocol" doc:"of the port" enum:"tcp,udp"`
	Port     int           `json:"port" doc:"its number"`
	State    string        `json:"state" doc:"leased: nobody listens yet; listening: its holder does; stolen: somebody else does; pending: a lease is just being made or ended" enum:"unmanaged,available,leased,listening,stolen,awaited,pending,set-aside"`
	Range    string        `json:"range,omitempty" doc:"the range that it lies in"`
	Static   bool          `json:"static,omitempty" doc:"it is kept for pinned leases"`
	Lease    *Lease        `json:"lease,omitempty" doc:"absent where it is not leased"`
	PID      int           `json:"pid,omitempty" doc:"the holder's process id, where it is a running process"`
	SetAside *SetAsidePort `json:"setAside,omitempty" doc:"why it is set aside; absent where it is not"`
	Sockets  []PortSocket  `json:"sockets" doc:"the sockets that listen on it, of UDP those that are bound; where there are none, those that are bound or connected"`
	More     int           `json:"moreSockets,omitempty" doc:"how many more there are than are told of"`
	Unseen   []string      `json:"unseen" doc:"what could not be read, for people"`
}

// PortSocket is a socket that is bound to a port.
type PortSocket struct {
	Address string      `json:"address" doc:"0.0.0.0:8080, [::]:8080"`
	V6Only  bool        `json:"v6Only,omitempty" doc:"it takes no IPv4 traffic, though it is bound to ::"`
	State   string      `json:"state" doc:"what it does there" enum:"listening,bound,connected"`
	UID     int         `json:"uid" doc:"the user who made it"`
	User    string      `json:"user,omitempty" doc:"that user's name, where there is one"`
	Owners  []PortOwner `json:"owners" doc:"who has it open, as far as that can be seen; of several at least one"`
}

// PortOwner is a process that has a socket open.
type PortOwner struct {
	PID       int       `json:"pid" doc:"its process id"`
	Command   string    `json:"command" doc:"the short name of its program"`
	StartedAt time.Time `json:"startedAt,omitzero" doc:"since when it runs"`
	Proxy     bool      `json:"proxy,omitempty" doc:"it is a container engine's, on behalf of a container"`
}
