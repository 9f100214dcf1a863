package conf

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/magiconair/properties"
)

// maxFile is the most bytes of a file of properties.
const maxFile = 8 << 20

// Pair is a name with a value, as a file has it.
type Pair struct{ Name, Value string }

// ParseProperties reads Java properties, as [java.util.Properties.load] has
// their syntax, in UTF-8 and in the order of the file; of two of one name the
// last counts. What is wrong is ErrInvalid.
//
// [java.util.Properties.load]: https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/util/Properties.html#load(java.io.Reader)
func ParseProperties(r io.Reader) ([]Pair, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read properties: %w", err)
	}
	if len(text) > maxFile {
		return nil, stated(ErrInvalid, "properties: more than %d bytes", maxFile)
	}
	loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	p, err := loader.LoadBytes(text)
	if err != nil {
		// The library's text may have a value in it, which may be a secret.
		return nil, stated(ErrInvalid, "properties: a name is missing, or an escape is not well formed")
	}
	pairs := make([]Pair, 0, p.Len())
	for _, name := range p.Keys() {
		value, _ := p.Get(name)
		pairs = append(pairs, Pair{name, value})
	}
	return pairs, nil
}

// WriteProperties writes pairs as Java properties in ASCII, a line each, which
// every encoding reads the same.
func WriteProperties(w io.Writer, pairs []Pair) error {
	out := bufio.NewWriter(w)
	for _, p := range pairs {
		fmt.Fprintf(out, "%s=%s\n", escaped(p.Name, true), escaped(p.Value, false))
	}
	return out.Flush()
}

// escaped writes a name or a value as a file has it.
func escaped(text string, name bool) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == ' ' && (name || i == 0), name && strings.ContainsRune("=:#!", r), i == 0 && strings.ContainsRune("#!=:", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r >= 0x7f && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// ParsePairs reads name=value[,name=value]. A comma and an equals sign that
// stand behind a backslash belong to the value, and so does what stands behind
// a comma and has no equals sign: a=1,2,b=3 is a with 1,2 and b with 3. The
// error never has a value.
func ParsePairs(text string) ([]Pair, error) {
	var pairs []Pair
	for _, part := range splitPairs(text) {
		name, value, found := strings.Cut(part, "=")
		switch {
		case found && strings.TrimSpace(name) == "":
			return nil, stated(ErrInvalid, "property %d has no name: write name=value[,name=value]", len(pairs)+1)
		case found:
			pairs = append(pairs, Pair{strings.TrimSpace(name), value})
		case len(pairs) == 0:
			return nil, stated(ErrInvalid, "the first property has no value: write name=value[,name=value]")
		default:
			pairs[len(pairs)-1].Value += "," + part
		}
	}
	for i := range pairs {
		pairs[i].Value = strings.NewReplacer(`\,`, `,`, `\=`, `=`).Replace(pairs[i].Value)
	}
	return pairs, nil
}

// splitPairs parts a text at the commas that no backslash stands before.
func splitPairs(text string) []string {
	var parts []string
	start := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case ',':
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:])
}
