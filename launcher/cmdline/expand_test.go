package cmdline_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"berth/launcher/cmdline"
)

func lookup(values map[string]string) cmdline.Lookup {
	return func(name string) (string, bool) {
		value, found := values[name]
		return value, found
	}
}

func TestExpand(t *testing.T) {
	values := map[string]string{
		"a":                       "A",
		"b":                       "x${a}y",
		"c":                       "${b}-${b}",
		"empty":                   "",
		"stage":                   "test",
		"url.test":                "http://test",
		"url.A":                   "http://A",
		"which":                   "stage",
		"text":                    "$${a}",
		"half":                    "${a",
		"rest":                    "}",
		"dollar":                  "$",
		"blank":                   "two words",
		"deep":                    "${nowhere} ${a}",
		"fall":                    "${nowhere:-${a}}",
		"corus.server.port.http":  "8080",
		"corus.process.port.http": "8080",
		"a b":                     "name with a blank",
		"ü":                       "umlaut",
	}
	tests := []struct {
		name, text, want string
		unknown          []string
	}{
		{name: "nothing", text: "", want: ""},
		{name: "no variable", text: "plain } > :- { <", want: "plain } > :- { <"},
		{name: "alone", text: "${a}", want: "A"},
		{name: "in text", text: "1${a}2", want: "1A2"},
		{name: "two", text: "${a}${stage}", want: "Atest"},
		{name: "server port", text: "${corus.server.port.http}", want: "8080"},
		{name: "process port", text: "${corus.process.port.http}", want: "8080"},
		{name: "angle brackets", text: "$<corus.server.port.http>", want: "8080"},
		{name: "both brackets", text: "${a}$<a>${a}", want: "AAA"},
		{name: "empty value", text: "[${empty}]", want: "[]"},
		{name: "name with a blank", text: "${a b}", want: "name with a blank"},
		{name: "name beyond ascii", text: "${ü}", want: "umlaut"},
		{name: "blank in a name counts", text: "${ a}", want: "${ a}", unknown: []string{" a"}},

		{name: "value with a variable", text: "${b}", want: "xAy"},
		{name: "value with a value with a variable", text: "${c}", want: "xAy-xAy"},
		{name: "value with an unknown one", text: "[${deep}]", want: "[${nowhere} A]", unknown: []string{"nowhere"}},
		{name: "value with a default", text: "${fall}", want: "A"},
		{name: "brackets of different values make no variable", text: "${half}${rest}", want: "${a}"},
		{name: "a value's dollar makes no variable", text: "${dollar}{a}", want: "${a}"},

		{name: "default unused", text: "${a:-d}", want: "A"},
		{name: "default used", text: "${x:-d}", want: "d"},
		{name: "default of an empty value is unused", text: "[${empty:-d}]", want: "[]"},
		{name: "empty default", text: "[${x:-}]", want: "[]"},
		{name: "default with a variable", text: "${x:-${a}}", want: "A"},
		{name: "default with text around", text: "${x:-1${a}2}", want: "1A2"},
		{name: "default of a default", text: "${x:-${y:-${z:-d}}}", want: "d"},
		{name: "inner default known", text: "${x:-${a:-d}}", want: "A"},
		{name: "default with blanks", text: "${x:-two words}", want: "two words"},
		{name: "default with :-", text: "${x:-1:-2}", want: "1:-2"},
		{name: "default with a dash", text: "${x:--1}", want: "-1"},
		{name: "default with a colon", text: "${x:-http://h:80}", want: "http://h:80"},
		{name: "default in angle brackets", text: "$<x:-d>", want: "d"},
		{name: "default of the other kind", text: "${x:-$<a>}$<x:-${a}>", want: "AA"},
		{name: "closing bracket of the other kind", text: "${x:->}$<x:-}>", want: ">}"},
		{name: "closing bracket of the other kind, nested", text: "$<x:-${y:->}>", want: ">"},
		{name: "unknown in a default", text: "${x:-${y}}", want: "${y}", unknown: []string{"y"}},
		{name: "unused default is not looked at", text: "${a:-${y}}", want: "A"},
		{name: "no name", text: "${:-d}", want: "d"},
		{name: "a colon alone is part of the name", text: "${x:d}", want: "${x:d}", unknown: []string{"x:d"}},

		{name: "name with a variable", text: "${url.${stage}}", want: "http://test"},
		{name: "name with a variable of the other kind", text: "${url.$<stage>}$<url.${stage}>", want: "http://testhttp://test"},
		{name: "name from a name", text: "${url.${${which}}}", want: "http://test"},
		{name: "name with an unknown variable", text: "${url.${y}}", want: "${url.${y}}", unknown: []string{"y"}},
		{name: "name with an unknown variable, and a default", text: "${url.${y}:-${a}}", want: "A"},
		{name: "name with a default", text: "${url.${y:-test}}", want: "http://test"},
		{name: "name made from parts is unknown", text: "${no.${a}}", want: "${no.${a}}", unknown: []string{"no.A"}},

		{name: "unknown", text: "1${x}2", want: "1${x}2", unknown: []string{"x"}},
		{name: "unknown in angle brackets", text: "$<x>", want: "$<x>", unknown: []string{"x"}},
		{name: "unknown twice", text: "${x}${y}$<x>", want: "${x}${y}$<x>", unknown: []string{"x", "y"}},
		{name: "empty name", text: "${}", want: "${}", unknown: []string{""}},

		{name: "escape", text: "$${a}", want: "${a}"},
		{name: "escape in angle brackets", text: "$$<a>", want: "$<a>"},
		{name: "escape of what is unknown", text: "$${x}", want: "${x}"},
		{name: "escape and variable", text: "$${a}${a}", want: "${a}A"},
		{name: "escape with a variable within", text: "$${a.${a}}", want: "${a.A}"},
		{name: "dollar before an escape", text: "$$${a}", want: "$${a}"},
		{name: "escape in a default", text: "${x:-$${a}}", want: "${a}"},
		{name: "escape in an unused default", text: "${a:-$${b}}", want: "A"},
		{name: "escape in a value", text: "${text}", want: "${a}"},
		{name: "escape that is not closed", text: "$${a", want: "${a"},

		{name: "dollar alone", text: "$", want: "$"},
		{name: "two dollars", text: "$$", want: "$$"},
		{name: "dollar and text", text: "$a $1 $$a", want: "$a $1 $$a"},
		{name: "not closed", text: "${a", want: "${a"},
		{name: "not closed angle", text: "$<a", want: "$<a"},
		{name: "bracket alone", text: "${", want: "${"},
		{name: "not closed after a variable", text: "${a}${", want: "A${"},
		{name: "not closed around a variable", text: "${x ${a}", want: "${x A"},
		{name: "closed by the other kind", text: "${a>", want: "${a>"},
		{name: "redirection in a default", text: "${x:-sort $<file}", want: "sort $<file"},
		{name: "surplus closing bracket", text: "${a}}", want: "A}"},
		{name: "line ends", text: "1\n${a}\n", want: "1\nA\n"},
		{name: "not utf-8", text: "\xff${a}\xfe", want: "\xffA\xfe"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, unknown, err := cmdline.Expand(test.text, lookup(values))
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("Expand(%q) = %q, want %q", test.text, got, test.want)
			}
			if !reflect.DeepEqual(unknown, test.unknown) {
				t.Errorf("Expand(%q): unknown %q, want %q", test.text, unknown, test.unknown)
			}
		})
	}
}

func TestExpandCircle(t *testing.T) {
	tests := []struct {
		name, text string
		values     map[string]string
		want       string
	}{
		{"of one", "${a}", map[string]string{"a": "${a}"}, `variable "a": circle: a → a`},
		{"of two", "${a}", map[string]string{"a": "1${b}", "b": "2$<a>"}, `variable "a": circle: a → b → a`},
		{"of three", "x${a}", map[string]string{"a": "${b}", "b": "${c}", "c": "${a}"}, `variable "a": circle: a → b → c → a`},
		{"entered from outside", "${in}", map[string]string{"in": "${a}", "a": "${b}", "b": "${a}"}, `variable "a": circle: a → b → a`},
		{"by a name", "${a}", map[string]string{"a": "${x.${a}}"}, `variable "a": circle: a → a`},
		{"by a default", "${a}", map[string]string{"a": "${x:-${a}}"}, `variable "a": circle: a → a`},
		{"with an odd name", "${\n}", map[string]string{"\n": "${\n}"}, `variable "\n": circle: "\n" → "\n"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := cmdline.Expand(test.text, lookup(test.values))
			if !errors.Is(err, cmdline.ErrCircle) || err.Error() != test.want {
				t.Fatalf("error %v, want %s", err, test.want)
			}
			var circle *cmdline.CircleError
			if !errors.As(err, &circle) || circle.Names[0] != circle.Names[len(circle.Names)-1] {
				t.Fatalf("error %#v, want a circle that ends where it begins", err)
			}
		})
	}
}

// The same variable side by side is no circle, and neither is one that only an
// unused default names.
func TestExpandNoCircle(t *testing.T) {
	values := map[string]string{"a": "${b}${b}", "b": "${c:-${a}}", "c": "1"}
	got, _, err := cmdline.Expand("${a}${a}", lookup(values))
	if err != nil || got != "1111" {
		t.Fatalf("got %q, %v; want 1111", got, err)
	}
}

func TestExpandBomb(t *testing.T) {
	chain := func(length, times int, last string) map[string]string {
		values := make(map[string]string)
		for i := range length {
			values[fmt.Sprintf("v%d", i)] = strings.Repeat(fmt.Sprintf("${v%d}", i+1), times)
		}
		values[fmt.Sprintf("v%d", length)] = last
		return values
	}
	tests := []struct {
		name, text string
		values     map[string]string
	}{
		{"doubling", "${v0}", chain(60, 2, "x")},
		{"doubling of nothing", "${v0}", chain(60, 2, "")},
		{"doubling of what is unknown", "${v0}", chain(60, 2, "${x}")},
		{"doubling of a default", "${v0}", chain(60, 2, "${x:-}")},
		{"times a thousand", "${v0}", chain(8, 1000, "")},
		{"long text", strings.Repeat("x", cmdline.MaxValue+1), nil},
		{"long value", "${a}", map[string]string{"a": strings.Repeat("x", cmdline.MaxValue+1)}},
		{"long value with a variable", "${a}", map[string]string{"a": "${b}" + strings.Repeat("x", cmdline.MaxValue)}},
		{"one byte over", "${a}x", map[string]string{"a": strings.Repeat("x", cmdline.MaxValue)}},
		{"names of names", strings.Repeat("${", 20000) + "x" + strings.Repeat("}", 20000), nil},
		{"long values that are not used", strings.Repeat("${x:-${y:-${a}}}", 4000),
			map[string]string{"a": "${empty:-" + strings.Repeat("x", 60000) + "}", "empty": ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, _, err := cmdline.Expand(test.text, lookup(test.values))
			if !errors.Is(err, cmdline.ErrTooLong) {
				t.Fatalf("got %d bytes, error %v; want ErrTooLong", len(got), err)
			}
			if strings.ContainsAny(err.Error(), "\n") || len(err.Error()) > 200 {
				t.Fatalf("error %q is not a short line", err)
			}
		})
	}
}

func TestExpandAtItsLimit(t *testing.T) {
	long := strings.Repeat("x", cmdline.MaxValue)
	got, _, err := cmdline.Expand("${a}", lookup(map[string]string{"a": long}))
	if err != nil || got != long {
		t.Fatalf("a value of MaxValue: %d bytes, %v", len(got), err)
	}
	for _, nested := range []string{
		strings.Repeat("${", cmdline.MaxValue/2),
		strings.Repeat("${", cmdline.MaxValue/4) + strings.Repeat("$<", cmdline.MaxValue/4-1) + "}>",
		strings.Repeat("${", 500) + strings.Repeat("}", 500),
	} {
		if got, _, err := cmdline.Expand(nested, lookup(nil)); err != nil || got != nested {
			t.Errorf("deep brackets %.8s…: %d bytes, %v; want them unchanged", nested, len(got), err)
		}
	}
	deep := strings.Repeat("${x:-", 9000) + "d" + strings.Repeat("}", 9000)
	if got, _, err := cmdline.Expand(deep, lookup(nil)); err != nil || got != "d" {
		t.Errorf("deep defaults: %q, %v; want d", got, err)
	}
}

func TestEscape(t *testing.T) {
	for _, text := range []string{
		"", "plain", "$", "$$", "${", "$<", "${a}", "$<a>", "$${a}", "$$${a}", "$$$$<a>", "${${a}}", "${a:-${b}}", "}>${", "$$${$$<",
	} {
		escaped := cmdline.Escape(text)
		got, unknown, err := cmdline.Expand(escaped, lookup(map[string]string{"a": "A", "b": "B"}))
		if got != text || unknown != nil || err != nil {
			t.Errorf("Expand(%q), the escape of %q, = %q, %q, %v", escaped, text, got, unknown, err)
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, seed := range []string{
		"", "${a}", "$<a>", "${x:-${a}}", "$${a}", "${url.${b}}", "${a", "${c}", "${x:-$<y:->}>}", "$$$<a>", "${}", "${:-}", "${d}",
	} {
		f.Add(seed, "1", "${a}")
	}
	f.Add("${a}${b}", "${b}", "${a}")
	f.Add("${a}", "${b}${b}", "${c}${c}")
	f.Fuzz(func(t *testing.T, text, a, b string) {
		values := lookup(map[string]string{"a": a, "b": b, "c": "${a}${b}", "d": "${c}${c}", "url.1": "u"})
		got, unknown, err := cmdline.Expand(text, values)
		switch {
		case err == nil:
		case errors.Is(err, cmdline.ErrCircle), errors.Is(err, cmdline.ErrTooLong):
			if got != "" || unknown != nil {
				t.Fatalf("Expand(%q) gives %q beside the error %v", text, got, err)
			}
		default:
			t.Fatalf("Expand(%q): %v", text, err)
		}
		if len(got) > cmdline.MaxValue {
			t.Fatalf("Expand(%q) gives %d bytes", text, len(got))
		}
		if err == nil && !strings.Contains(text, "$") && got != text {
			t.Fatalf("Expand(%q) = %q without a dollar", text, got)
		}
		for _, name := range unknown {
			if _, found := values(name); found {
				t.Fatalf("Expand(%q): %q is unknown", text, name)
			}
		}
		if escaped := cmdline.Escape(text); len(escaped) <= cmdline.MaxValue {
			back, unknown, err := cmdline.Expand(escaped, values)
			if back != text || unknown != nil || err != nil {
				t.Fatalf("Expand(Escape(%q)) = %q, %q, %v", text, back, unknown, err)
			}
		}
		if words, err := cmdline.Split(text); err == nil {
			for _, word := range words {
				if len(word) > len(text)*2 {
					t.Fatalf("Split(%q) gives the word %q", text, word)
				}
			}
		}
	})
}
