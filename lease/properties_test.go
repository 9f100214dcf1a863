package lease_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"berth/lease"
)

func TestParseProperties(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
	}{
		{"empty", "", ""},
		{"two", "http=8080,8085\njmx=9000", "http[8080 - 8085] jmx[9000 - 9000]"},
		{"order of the file", "b=2\na=1", "b[2 - 2] a[1 - 1]"},
		{"spaces", "  http = 8080 , 8085  ", "http[8080 - 8085]"},
		{"colon and blank", "a:1,2\nb 3,4", "a[1 - 2] b[3 - 4]"},
		{"comments and blank lines", "# one=1\n\n! two=2\n  \t\nthree=3", "three[3 - 3]"},
		{"comment that does not go on", "# a\\\nb=1", "b[1 - 1]"},
		{"windows and mac line ends", "a=1\r\nb=2\rc=3", "a[1 - 1] b[2 - 2] c[3 - 3]"},
		{"value goes on", "a=1,\\\n   2\nb=3", "a[1 - 2] b[3 - 3]"},
		{"key goes on", "htt\\\n  p=1", "http[1 - 1]"},
		{"backslash at the end", "a=1\\", "a[1 - 1]"},
		{"escaped key", `\u0061=1`, "a[1 - 1]"},
		{"no expansion", "b=1\na=${b}", `! line 2: range "a": "${b}" is not min,max or a port`},
		{"no key", "=1,2", `! line 1: a range without a name`},
		{"no value", "# x\na=", `! line 2: range "a": no ports; write a=min,max or a=port`},
		{"neither", "a", `! line 1: range "a": no ports; write a=min,max or a=port`},
		{"blank value", "a= , ", `! line 1: range "a": ", " is not min,max or a port`},
		{"twice", "a=1\n\nb=2\na=3", `! line 4: range "a" was defined on line 1 already`},
		{"line after one that went on", "a=1,\\\n2\nb=x", `! line 3: range "b": "x" is not min,max or a port`},
		{"three numbers", "a=1,2,3", `! line 1: range "a": "1,2,3" is not min,max or a port`},
		{"half", "a=1,", `! line 1: range "a": "1," is not min,max or a port`},
		{"number too large", "a=99999999999999999999", `! line 1: range "a": "99999999999999999999" is not min,max or a port`},
		{"dash", "a=1-2", `! line 1: range "a": "1-2" is not min,max or a port`},
		{"turned round", "a=2,1", `! line 1: range "a": max 1 is below min 2`},
		{"port 0", "a=0", `! line 1: range "a": port 0 is outside 1 to 65535`},
		{"port too large", "a=1,70000", `! line 1: range "a": port 70000 is outside 1 to 65535`},
		{"name", `a\=b=1`, `! line 1: range "a=b": its name has '=', only letters, digits, '.', '_' and '-' are allowed`},
		{"mark of a comment in a line that goes on", "\\\n#a=1", `! line 1: range "#a": its name has '#', only letters, digits, '.', '_' and '-' are allowed`},
		{"escape", `a=\u00zz`, `! line 1: invalid unicode literal`},
	} {
		t.Run(c.name, func(t *testing.T) {
			ranges, err := lease.ParseProperties(strings.NewReader(c.text))
			var got string
			if err != nil {
				got = "! " + strings.TrimPrefix(err.Error(), "range properties: ")
				if !errors.Is(err, lease.ErrRangeInvalid) || ranges != nil {
					t.Errorf("%v is not ErrRangeInvalid, or comes with %v", err, ranges)
				}
			}
			for i, r := range ranges {
				if i > 0 {
					got += " "
				}
				got += r.Name + r.String()
				if r.Protocol != lease.TCP || r.Scope != lease.HostScope {
					t.Errorf("%+v", r)
				}
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Behind its ports stands what a range has besides.
func TestParsePropertiesTerms(t *testing.T) {
	got, err := lease.ParseProperties(strings.NewReader("a=1,9,next,static=2\nb = 10,19 , Static=3\nc=ephemeral\nd=30,31,RANDOM\n"))
	want := []lease.Range{
		{Name: "a", Min: 1, Max: 9, Protocol: lease.TCP, Scope: lease.HostScope, Policy: lease.PolicyNext, Static: 2},
		{Name: "b", Min: 10, Max: 19, Protocol: lease.TCP, Scope: lease.HostScope, Static: 3},
		{Name: "c", Protocol: lease.TCP, Scope: lease.HostScope, Ephemeral: true},
		{Name: "d", Min: 30, Max: 31, Protocol: lease.TCP, Scope: lease.HostScope, Policy: lease.PolicyRandom},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for text, want := range map[string]string{
		"a=1,9,best":        `"1,9,best" is not min,max or a port`,
		"a=1,9,next,lowest": `"1,9,next,lowest" is not min,max or a port`,
		"a=1,9,":            `"1,9," is not min,max or a port`,
		"a=1,9,static=x":    `"x" is not a number of static ports`,
		"a=1,9,static=9":    `9 static ports of its 9 ports would leave none`,
	} {
		if got, err := lease.ParseProperties(strings.NewReader(text)); !errors.Is(err, lease.ErrRangeInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %s", text, got, err, want)
		}
	}
}

func TestParsePropertiesTooLarge(t *testing.T) {
	text := strings.NewReader(strings.Repeat("# a comment\n", 1<<20))
	if _, err := lease.ParseProperties(text); !errors.Is(err, lease.ErrRangeInvalid) {
		t.Errorf("12 MB: %v", err)
	}
	if _, err := lease.ParseProperties(broken{}); err == nil || errors.Is(err, lease.ErrRangeInvalid) {
		t.Errorf("a reader that fails: %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

func FuzzParseProperties(f *testing.F) {
	for _, seed := range []string{"http=8080,8085\njmx=9000", "a=1,\\\n 2", "# x\\\n!y", "=1", `\u0061:1`, "a\\", "a=1\ra=2", "a=1,9,next,static=2\nb=ephemeral"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ranges, err := lease.ParseProperties(strings.NewReader(text))
		if err != nil {
			if !errors.Is(err, lease.ErrRangeInvalid) || strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("error %q", err)
			}
			return
		}
		var again strings.Builder
		seen := make(map[string]bool)
		for _, r := range ranges {
			if err := r.Validate(); err != nil || seen[r.Name] {
				t.Errorf("%+v: %v, or it is there twice", r, err)
			}
			seen[r.Name] = true
			if r.Ephemeral {
				fmt.Fprintf(&again, "%s=ephemeral\n", r.Name)
				continue
			}
			fmt.Fprintf(&again, "%s=%d,%d,static=%d", r.Name, r.Min, r.Max, r.Static)
			if r.Policy != "" {
				fmt.Fprintf(&again, ",%s", r.Policy)
			}
			again.WriteByte('\n')
		}
		if same, err := lease.ParseProperties(strings.NewReader(again.String())); err != nil || fmt.Sprint(same) != fmt.Sprint(ranges) {
			t.Errorf("written and read again: %v, %v, want %v", same, err, ranges)
		}
	})
}
