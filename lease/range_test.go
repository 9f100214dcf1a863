package lease_test

import (
	"errors"
	"strings"
	"testing"

	"berth/lease"
)

func TestRangeValidate(t *testing.T) {
	long := strings.Repeat("a", 65)
	for _, c := range []struct {
		name string
		r    lease.Range
		want string // "": valid
	}{
		{"usual", lease.Range{Name: "http", Min: 8080, Max: 8085}, ""},
		{"one port", lease.Range{Name: "a", Min: 1, Max: 1}, ""},
		{"all ports", lease.Range{Name: "A-z_0.9", Min: 1, Max: 65535, Protocol: lease.UDP, Scope: lease.ClusterScope}, ""},
		{"longest name", lease.Range{Name: long[:64], Min: 1, Max: 1}, ""},
		{"no name", lease.Range{Min: 1, Max: 1}, "a range without a name"},
		{"long name", lease.Range{Name: long, Min: 1, Max: 1}, `range "aaaaaaaaaaaaaaaaaaaa"…: its name has 65 characters, at most 64 are allowed`},
		{"space", lease.Range{Name: "a b", Min: 1, Max: 1}, `range "a b": its name has ' ', only letters, digits, '.', '_' and '-' are allowed`},
		{"slash", lease.Range{Name: "a/b", Min: 1, Max: 1}, `range "a/b": its name has '/', only letters, digits, '.', '_' and '-' are allowed`},
		{"star", lease.Range{Name: "a*", Min: 1, Max: 1}, `range "a*": its name has '*', only letters, digits, '.', '_' and '-' are allowed`},
		{"letter of another script", lease.Range{Name: "ä", Min: 1, Max: 1}, `range "ä": its name has 'ä', only letters, digits, '.', '_' and '-' are allowed`},
		{"port 0", lease.Range{Name: "a", Min: 0, Max: 1}, `range "a": port 0 is outside 1 to 65535`},
		{"port below 0", lease.Range{Name: "a", Min: -1, Max: 1}, `range "a": port -1 is outside 1 to 65535`},
		{"port 65536", lease.Range{Name: "a", Min: 1, Max: 65536}, `range "a": port 65536 is outside 1 to 65535`},
		{"turned round", lease.Range{Name: "a", Min: 8085, Max: 8080}, `range "a": max 8080 is below min 8085`},
		{"protocol", lease.Range{Name: "a", Min: 1, Max: 1, Protocol: "sctp"}, `range "a": protocol "sctp" is not known; it is tcp or udp`},
		{"scope", lease.Range{Name: "a", Min: 1, Max: 1, Scope: "world"}, `range "a": scope "world" is not known; it is host or cluster`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.r.Validate()
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || err.Error() != c.want):
				t.Errorf("%v, want %s", err, c.want)
			case c.want != "" && !errors.Is(err, lease.ErrRangeInvalid):
				t.Errorf("%v is not ErrRangeInvalid", err)
			}
		})
	}
}

func TestRangeIntervals(t *testing.T) {
	r := lease.Range{Name: "a", Min: 100, Max: 105}
	for _, c := range []struct {
		name     string
		min, max int
		protocol lease.Protocol
		want     bool
	}{
		{"the same", 100, 105, lease.TCP, true},
		{"neighbour above", 106, 110, "", false},
		{"neighbour below", 90, 99, "", false},
		{"last port", 105, 105, "", true},
		{"first port", 1, 100, "", true},
		{"around", 1, 200, "", true},
		{"inside", 102, 103, "", true},
		{"other protocol", 100, 105, lease.UDP, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			other := lease.Range{Name: "b", Min: c.min, Max: c.max, Protocol: c.protocol}
			if r.Overlaps(other) != c.want || other.Overlaps(r) != c.want {
				t.Errorf("%v and %v overlap: %v and %v, want %v", r, other, r.Overlaps(other), other.Overlaps(r), c.want)
			}
		})
	}
	if r.String() != "[100 - 105]" || r.Len() != 6 || !r.Contains(100) || !r.Contains(105) || r.Contains(99) || r.Contains(106) {
		t.Errorf("%v has %d ports", r, r.Len())
	}
}

func TestParseProtocol(t *testing.T) {
	for text, want := range map[string]lease.Protocol{"": lease.TCP, "tcp": lease.TCP, "UDP": lease.UDP, "Tcp": lease.TCP} {
		if got, err := lease.ParseProtocol(text); got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	if _, err := lease.ParseProtocol("icmp"); !errors.Is(err, lease.ErrRangeInvalid) {
		t.Errorf("icmp: %v", err)
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"http", "http", true}, {"http", "https", false}, {"http", "", false}, {"", "", true}, {"", "a", false},
		{"*", "", true}, {"*", "anything", true}, {"**", "a", true}, {"http*", "http", true}, {"http*", "https", true},
		{"*tp", "http", true}, {"*tp", "https", false}, {"h*p", "hp", true}, {"h*p", "h", false}, {"ab*ba", "aba", false},
		{"*a*b*", "xxaxxbxx", true}, {"*a*b*", "xxbxxaxx", false}, {"a*a*a", "aa", false}, {"a*a*a", "aaa", true},
		{"h?tp", "http", false}, {"[h]ttp", "http", false}, {"a.c", "abc", false}, {"*ab", "aab", true}, {"a*bc*d", "abbcbcd", true},
	} {
		if got := lease.Match(c.pattern, c.name); got != c.want {
			t.Errorf("%q fits %q: %v, want %v", c.name, c.pattern, got, c.want)
		}
	}
}
