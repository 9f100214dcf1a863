package cmdline

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// HiddenFile is the name of the file in a process' folder that has its hidden
// properties, as Corus calls it.
const HiddenFile = ".corus-process.hidden.properties"

// IsHidden says whether the value of a property, by its name, is a secret that
// is on no command line and in no log or listing: *password*, *username*,
// *secret* and *access*key*, in any case.
func IsHidden(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"password", "username", "secret"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	_, after, found := strings.Cut(name, "access")
	return found && strings.Contains(after, "key")
}

// HiddenText is the text of a file of properties, for java.util.Properties and
// what reads the same format: all of it is ASCII.
func HiddenText(hidden []Property) []byte {
	var out strings.Builder
	for _, p := range hidden {
		escapeProperty(&out, p.Name, true)
		out.WriteByte('=')
		escapeProperty(&out, p.Value, false)
		out.WriteByte('\n')
	}
	return []byte(out.String())
}

func escapeProperty(out *strings.Builder, text string, key bool) {
	leading := true
	for _, r := range text {
		switch {
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == '\f':
			out.WriteString(`\f`)
		case r == '\\', key && strings.ContainsRune("=:#! ", r), r == ' ' && leading:
			out.WriteByte('\\')
			out.WriteRune(r)
		case r < ' ' || r > '~':
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(out, `\u%04x`, unit)
			}
		default:
			out.WriteRune(r)
		}
		leading = leading && r == ' '
	}
}

// definition is a property that a process is given.
type definition struct {
	Property

	// secret is the hidden property that its value is or is made with.
	secret secret
}

// isHidden says whether the property itself is a hidden one.
func (d definition) isHidden() bool { return d.secret.isSome() && d.secret.name == d.Name }

// secret is a hidden property that a value is or was made with. The zero value
// is none.
type secret struct {
	name   string
	source source
}

func (s secret) isSome() bool { return s.name != "" }

// exposed refuses a hidden property where everybody can see it, and says how
// the process can have it instead.
func exposed(of subject, secret secret) error {
	whose, instead := "", "have the process read it from ${corus.process.dir}/"+HiddenFile
	switch secret.source {
	case fromSet:
		whose, instead = " of the server", "set it for processes (conf add -s p) and "+instead
	case fromEnvironment:
		whose, instead = " of the environment", "have the process read it there"
	}
	return problemf(ErrInvalid, "%s: it holds the hidden property %s%s, which must not be on a command line; %s", of, quote(secret.name), whose, instead)
}

// hiddenOf are the definitions that go into the hidden file.
func hiddenOf(all []definition) []Property {
	var hidden []Property
	for _, d := range all {
		if d.isHidden() {
			hidden = append(hidden, d.Property)
		}
	}
	return hidden
}

// visible are the definitions that may be seen. One that is made with a hidden
// property is an error.
func visible(all []definition) ([]Property, error) {
	shown := make([]Property, 0, len(all))
	for _, d := range all {
		switch {
		case d.isHidden():
		case d.secret.isSome():
			return nil, exposed(subject{"property", d.Name}, d.secret)
		default:
			shown = append(shown, d.Property)
		}
	}
	return shown, nil
}
