package api

// KernelPorts tells which ports of ranges the kernel may take by itself, and
// which the daemon may not bind. The settings are those of the daemon's network
// namespace.
type KernelPorts struct {
	LocalMin     int           `json:"localMin" doc:"first port that the kernel takes for outgoing connections and for binds to port 0 (net.ipv4.ip_local_port_range)"`
	LocalMax     int           `json:"localMax" doc:"the last one"`
	Unprivileged int           `json:"unprivileged" doc:"first port that any user may bind (net.ipv4.ip_unprivileged_port_start)"`
	Reserved     string        `json:"reserved" doc:"ports that it never takes by itself (net.ipv4.ip_local_reserved_ports): 8080,9148-9150"`
	Exposed      []KernelRange `json:"exposed" doc:"ports of ranges that it may take"`
	Privileged   []KernelRange `json:"privileged" doc:"ports of ranges that the daemon may not bind"`
	Wanted       string        `json:"wanted,omitempty" doc:"what net.ipv4.ip_local_reserved_ports has to be for nothing to be exposed: what it is, and those ports; absent where nothing is"`
}

// KernelRange is ports of a range.
type KernelRange struct {
	Range    string `json:"range" doc:"its name"`
	Protocol string `json:"protocol" doc:"of the range" enum:"tcp,udp"`
	Ports    string `json:"ports" doc:"40000-40010"`
}

// KernelFixed tells how the kernel's settings were before they were changed, and how they are.
type KernelFixed struct {
	Before KernelPorts `json:"before" doc:"how they were"`
	Now    KernelPorts `json:"now" doc:"how they are"`
}
