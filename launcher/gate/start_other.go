//go:build !amd64

package gate

import "os"

func start(c *Command, conn *os.File, theirs int) (*Child, error) {
	return startByExec(c, conn, theirs)
}
