package main

import (
	"errors"
	"net"
	"os"

	"berth/access"
	"berth/server"
	"berth/shell"
)

// setAccess takes from the options, or else from the environment, who may use the
// daemon.
func (d *daemon) setAccess(o shell.ServeOptions, getenv func(string) string) (err error) {
	for _, setting := range []struct {
		value *string
		name  string
	}{
		{&o.SocketGroup, "BERTH_SOCKET_GROUP"},
		{&o.SocketRole, "BERTH_SOCKET_ROLE"},
		{&o.SocketAllow, "BERTH_SOCKET_ALLOW"},
		{&o.Listen, "BERTH_LISTEN"},
		{&o.TLSCert, "BERTH_TLS_CERT"},
		{&o.TLSKey, "BERTH_TLS_KEY"},
	} {
		if *setting.value == "" {
			*setting.value = getenv(setting.name)
		}
	}
	if d.peers, d.socketGroup, err = access.ParsePeers(os.Geteuid(), o.SocketGroup, o.SocketRole, o.SocketAllow); err != nil {
		return err
	}
	d.listen, d.tlsCert, d.tlsKey = o.Listen, o.TLSCert, o.TLSKey
	switch {
	case d.listen != "" && (d.tlsCert == "" || d.tlsKey == ""):
		return errors.New("option -listen needs -tls-cert and -tls-key: over TCP the daemon answers with TLS only")
	case d.listen == "" && (d.tlsCert != "" || d.tlsKey != ""):
		return errors.New("options -tls-cert and -tls-key are for -listen, which is missing")
	}
	return nil
}

// listenTLS listens on TCP, if that was asked for; nil else.
func (d *daemon) listenTLS() (net.Listener, error) {
	if d.listen == "" {
		return nil, nil
	}
	return server.ListenTLS(d.listen, d.tlsCert, d.tlsKey, d.log)
}

func addressOf(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

func portOf(l net.Listener) int {
	if l == nil {
		return 0
	}
	a, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0
	}
	return a.Port
}

// forgetCaller takes from the environment by what a client reaches a daemon, so
// that processes are not handed the token of whoever has started this one.
func forgetCaller() {
	for _, name := range []string{"BERTH_TOKEN", "BERTH_TOKEN_FILE", "BERTH_URL", "BERTH_CA_FILE"} {
		os.Unsetenv(name)
	}
}
