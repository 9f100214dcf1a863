package shell

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The types of options. Their UnmarshalText says what is wrong with a value;
// the name of the option is put before it.

// portNumber is a port, 1 to 65535.
type portNumber int

func (p *portNumber) UnmarshalText(text []byte) error {
	n, err := number(string(text), 1, 65535)
	*p = portNumber(n)
	return err
}

// portCount is a number of ports, 0 to 65535.
type portCount int

func (c *portCount) UnmarshalText(text []byte) error {
	n, err := number(string(text), 0, 65535)
	*c = portCount(n)
	return err
}

// policyName is how a port of a range is picked.
type policyName string

func (p *policyName) UnmarshalText(text []byte) error {
	switch v := strings.ToLower(string(text)); v {
	case "lowest", "next", "random":
		*p = policyName(v)
		return nil
	}
	return fmt.Errorf("%s is not lowest, next or random", quote(string(text)))
}

// instanceCount is how many instances to start, 1 to 10000.
type instanceCount int

func (c *instanceCount) UnmarshalText(text []byte) error {
	n, err := number(string(text), 1, 10000)
	*c = instanceCount(n)
	return err
}

// lineCount is a number of lines, 0 to a million.
type lineCount int

func (c *lineCount) UnmarshalText(text []byte) error {
	n, err := number(string(text), 0, 1_000_000)
	*c = lineCount(n)
	return err
}

// byteCount is a number of bytes, with K, M or G behind it 2 to the 10th, 20th or
// 30th of them; at most 1024 G.
type byteCount int64

func (c *byteCount) UnmarshalText(text []byte) error {
	n, err := ByteCount(string(text))
	*c = byteCount(n)
	return err
}

// ByteCount reads a number of bytes as the options of serve have it.
func ByteCount(text string) (int64, error) {
	digits, unit := text, int64(1)
	if i := len(text) - 1; i > 0 {
		if shift := strings.IndexByte("KMG", text[i]&^0x20); shift >= 0 {
			digits, unit = text[:i], 1<<(10*(shift+1))
		}
	}
	n, err := number(digits, 0, int(1<<40/unit))
	if err != nil {
		return 0, fmt.Errorf("`%s` is not a number of bytes, as 65536, 64K, 10M or 1G, up to 1024G", text)
	}
	return int64(n) * unit, nil
}

// fileCount is a number of files, 0 to 1000.
type fileCount int64

func (c *fileCount) UnmarshalText(text []byte) error {
	n, err := FileCount(string(text))
	*c = fileCount(n)
	return err
}

// FileCount reads a number of old output files.
func FileCount(text string) (int64, error) {
	n, err := number(text, 0, 1000)
	return int64(n), err
}

// identity is the id of a process, or an operating system's: 1 and up.
type identity int

func (i *identity) UnmarshalText(text []byte) error {
	n, err := number(string(text), 1, math.MaxInt32)
	*i = identity(n)
	return err
}

func ints(ids []identity) []int {
	out := make([]int, 0, len(ids))
	for _, id := range ids {
		out = append(out, int(id))
	}
	return out
}

// seconds is a time to wait: 30, 1.5, 30s, 2m; more than 0, at most a day.
type seconds float64

const maxSeconds = 24 * 60 * 60

func (s *seconds) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		d, derr := time.ParseDuration(string(text))
		if derr != nil {
			return fmt.Errorf("%s is not a number of seconds", quote(string(text)))
		}
		v = d.Seconds()
	}
	if !(v > 0 && v <= maxSeconds) {
		return fmt.Errorf("%s is not above 0 and at most %d seconds", quote(string(text)), maxSeconds)
	}
	*s = seconds(v)
	return nil
}

// protocol is tcp or udp.
type protocol string

func (p *protocol) UnmarshalText(text []byte) error {
	switch v := strings.ToLower(string(text)); v {
	case "tcp", "udp":
		*p = protocol(v)
		return nil
	}
	return fmt.Errorf("%s is not tcp or udp", quote(string(text)))
}

// format is how a list is printed.
type format string

const (
	asTable format = "table"
	asJSON  format = "json"
	asYAML  format = "yaml"
)

func (f *format) UnmarshalText(text []byte) error {
	switch v := format(text); v {
	case asTable, asJSON, asYAML:
		*f = v
		return nil
	}
	return fmt.Errorf("%s is not table, json or yaml", quote(string(text)))
}

// revision is the name of an archive.
type revision string

func (r *revision) UnmarshalText(text []byte) error {
	for _, c := range string(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return fmt.Errorf("%s has %q, and only letters, digits, '-', '_' and '.' may be in it", quote(string(text)), c)
		}
	}
	*r = revision(text)
	return nil
}

// portSelector is RANGE:PORT, each a pattern.
type portSelector string

func (p *portSelector) UnmarshalText(text []byte) error {
	name, port, ok := strings.Cut(string(text), ":")
	if !ok || name == "" || port == "" || strings.Contains(port, ":") {
		return fmt.Errorf("%s is not RANGE:PORT, as in http:8080, http:* or *:8080", quote(string(text)))
	}
	if strings.Trim(port, "0123456789*") != "" {
		return fmt.Errorf("%s: behind the colon stands a port or a pattern of one", quote(string(text)))
	}
	*p = portSelector(text)
	return nil
}

// number reads a whole number between two bounds, both of which belong to it.
func number(text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && (n < least || n > most):
		return 0, fmt.Errorf("%s is not between %d and %d", quote(text), least, most)
	case err != nil:
		return 0, fmt.Errorf("%s is not a whole number", quote(text))
	}
	return n, nil
}
