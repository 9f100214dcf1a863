package shell

import (
	"context"
	"net"

	"berth/client"
)

// hostAddress is the address of this host as processes are told it in
// corus.server.host: its first IPv4 address that others can reach.
func hostAddress() string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "127.0.0.1"
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}

// serverPort is the TCP port on which the daemon answers, empty where it does not
// or no daemon answers.
func (s *Shell) serverPort() string {
	if s.client == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(client.WithoutStart(context.Background()), askLimit)
	defer cancel()
	d, err := s.client.Daemon(ctx)
	if err != nil || d.Listen == "" {
		return ""
	}
	_, port, err := net.SplitHostPort(d.Listen)
	if err != nil {
		return ""
	}
	return port
}
