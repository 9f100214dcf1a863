package sysctl

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The settings, as sysctl(8) names them.
const (
	LocalRange   = "net.ipv4.ip_local_port_range"
	Reserved     = "net.ipv4.ip_local_reserved_ports"
	Unprivileged = "net.ipv4.ip_unprivileged_port_start"
)

// ErrRefused says that this process may not change a setting.
var ErrRefused = errors.New("the kernel's setting may not be changed")

// Ports is what the kernel does with ports by itself.
type Ports struct {
	// Local is where it takes ports for outgoing connections from, and for sockets
	// that are bound to port 0.
	Local Interval

	// Reserved are the ports that it never takes so, ascending. Whoever binds one
	// of them by its number gets it.
	Reserved []Interval

	// Unprivileged is the first port that any user may bind.
	Unprivileged int

	// BindsAll says that this process may bind those below it as well.
	BindsAll bool
}

// Exposed are the ports of first..last that the kernel may take by itself, ascending.
func (p Ports) Exposed(first, last int) []Interval {
	part := Interval{max(first, p.Local.First), min(last, p.Local.Last)}
	if part.Last < part.First {
		return nil
	}
	return part.Without(p.Reserved)
}

// Kernel is the settings of the network namespace that this process is in.
type Kernel struct {
	// Dir is the folder of the settings; empty means /proc/sys.
	Dir string
}

func (k Kernel) file(setting string) string {
	dir := k.Dir
	if dir == "" {
		dir = "/proc/sys"
	}
	return filepath.Join(dir, strings.ReplaceAll(setting, ".", "/"))
}

func (k Kernel) read(setting string) (string, error) {
	text, err := os.ReadFile(k.file(setting))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", setting, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Ports reads the settings.
func (k Kernel) Ports() (Ports, error) {
	var p Ports
	text, err := k.read(LocalRange)
	if err != nil {
		return p, err
	}
	if _, err := fmt.Sscan(text, &p.Local.First, &p.Local.Last); err != nil {
		return p, fmt.Errorf("%s is %q, which is not two ports", LocalRange, text)
	}
	if text, err = k.read(Reserved); err != nil {
		return p, err
	}
	if p.Reserved, err = ParseList(text); err != nil {
		return p, fmt.Errorf("%s: %w", Reserved, err)
	}
	switch text, err = k.read(Unprivileged); {
	case errors.Is(err, fs.ErrNotExist):
		p.Unprivileged = 1024 // before Linux 4.11
	case err != nil:
		return p, err
	default:
		if p.Unprivileged, err = strconv.Atoi(text); err != nil {
			return p, fmt.Errorf("%s is %q, which is no port", Unprivileged, text)
		}
	}
	p.BindsAll, err = bindsAll()
	return p, err
}

// bindsAll reports whether this process has CAP_NET_BIND_SERVICE.
func bindsAll() (bool, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if digits, ok := strings.CutPrefix(lines.Text(), "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 64)
			return set&(1<<unix.CAP_NET_BIND_SERVICE) != 0, err
		}
	}
	return false, errors.New("/proc/self/status does not tell the capabilities")
}

// maxList is how many characters of a list the kernel reads at once: a page.
const maxList = 4095

// Spare has the kernel never take some ports by itself, besides those that it
// does not take already, and returns the settings as they are then. Until the
// machine is started anew, or the network namespace is gone. The error is
// ErrRefused where this process may not, which root may.
func (k Kernel) Spare(list []Interval) (Ports, error) {
	p, err := k.Ports()
	if err != nil {
		return p, err
	}
	text := FormatList(Merge(p.Reserved, list))
	if len(text) > maxList {
		return p, fmt.Errorf("%s would have %d characters, and the kernel reads %d: %w", Reserved, len(text), maxList, ErrRefused)
	}
	err = os.WriteFile(k.file(Reserved), []byte(text+"\n"), 0o644)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return p, fmt.Errorf("%w: as root: sysctl -w %s=%s", ErrRefused, Reserved, text)
	case err != nil:
		return p, fmt.Errorf("write %s: %w", Reserved, err)
	}
	return k.Ports()
}
