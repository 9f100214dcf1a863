package shell

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// checkHosts checks the hosts of -cluster. A host without a cluster is a
// cluster of itself, so that scripts for one run on it.
func checkHosts(named string) error {
	if named == "" || named == "*" {
		return nil
	}
	self, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find this host's name: %w", err)
	}
	for _, host := range strings.Split(named, ",") {
		host = strings.TrimSpace(host)
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !isSelf(host, self) {
			return fmt.Errorf("option -cluster: this host, %s, is alone: there is no host %s", self, quote(host))
		}
	}
	return nil
}

// isSelf reports whether host is a name of this host.
func isSelf(host, self string) bool {
	short, _, _ := strings.Cut(self, ".")
	if strings.EqualFold(host, "localhost") || strings.EqualFold(host, self) || strings.EqualFold(host, short) {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
