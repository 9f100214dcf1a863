package sockdiag

import "errors"

var (
	// ErrProtocol says that a protocol is neither "tcp" nor "udp".
	ErrProtocol = errors.New(`protocol is neither "tcp" nor "udp"`)

	// ErrPort says that a port is not within 1 to 65535.
	ErrPort = errors.New("port is not within 1 to 65535")
)
