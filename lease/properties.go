package lease

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/magiconair/properties"
)

// maxProperties is the most bytes that ParseProperties reads: far more than
// 65,535 ranges of one port need.
const maxProperties = 8 << 20

// ParseProperties reads ranges from Java properties, one name=min,max or
// name=port for each, as [java.util.Properties.load] has their syntax, in
// UTF-8 and in the order of the file. Behind min,max the policy may stand, and
// static=N: http=8080,8095,next,static=4. In place of the ports ephemeral may
// stand. All are TCP ranges of HostScope. What is
// wrong is ErrRangeInvalid, with the line and the key.
//
// [java.util.Properties.load]: https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/util/Properties.html#load(java.io.Reader)
func ParseProperties(r io.Reader) ([]Range, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxProperties+1))
	if err != nil {
		return nil, fmt.Errorf("read range properties: %w", err)
	}
	if len(text) > maxProperties {
		return nil, stated(ErrRangeInvalid, "range properties: more than %d bytes", maxProperties)
	}
	var ranges []Range
	seen := make(map[string]int)
	// The library keeps the last of two equal keys and forgets lines, so it is
	// given one logical line at a time.
	for line, entry := range logicalLines(text) {
		if entry[0] == '#' || entry[0] == '!' {
			// No comment: it stands after a line that went on.
			entry = append([]byte{'\\'}, entry...)
		}
		loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
		p, err := loader.LoadBytes(entry)
		if err != nil {
			return nil, stated(ErrRangeInvalid, "range properties: line %d: %s", line, reason(entry, err))
		}
		for _, name := range p.Keys() {
			value, _ := p.Get(name)
			r, err := parseInterval(name, value)
			if err != nil {
				return nil, stated(ErrRangeInvalid, "range properties: line %d: %v", line, err)
			}
			if first, ok := seen[name]; ok {
				return nil, stated(ErrRangeInvalid, "range properties: line %d: range %q was defined on line %d already", line, name, first)
			}
			seen[name] = line
			ranges = append(ranges, r)
		}
	}
	return ranges, nil
}

// parseInterval reads min,max or one port, or ephemeral, and what a range has
// besides.
func parseInterval(name, value string) (Range, error) {
	r := Range{Name: name, Protocol: TCP, Scope: HostScope}
	if strings.EqualFold(strings.TrimSpace(value), "ephemeral") {
		r.Ephemeral = true
		return r, r.Validate()
	}
	written := value
	value, terms := cutTerms(value)
	if err := validName("range", name); err != nil {
		return r, err
	}
	if strings.TrimSpace(value) == "" {
		return r, fmt.Errorf("range %q: no ports; write %s=min,max or %s=port", name, name, name)
	}
	first, last, two := strings.Cut(value, ",")
	if !two {
		last = first
	}
	for _, end := range [...]struct {
		text string
		to   *int
	}{{first, &r.Min}, {last, &r.Max}} {
		port, err := strconv.Atoi(strings.TrimSpace(end.text))
		if err != nil {
			return r, fmt.Errorf("range %q: %.40q is not min,max or a port", name, written)
		}
		*end.to = port
	}
	for _, term := range terms {
		policy, err := ParsePolicy(term)
		number, isStatic := strings.CutPrefix(term, "static=")
		switch {
		case isStatic:
			if r.Static, err = strconv.Atoi(strings.TrimSpace(number)); err != nil {
				return r, fmt.Errorf("range %q: %.40q is not a number of static ports", name, number)
			}
		case err == nil && term != "" && r.Policy == "":
			r.Policy = policy
		default:
			return r, fmt.Errorf("range %q: %.40q is not min,max or a port", name, written)
		}
	}
	return r, r.Validate()
}

// cutTerms parts min,max from what stands behind it.
func cutTerms(value string) (interval string, terms []string) {
	parts := strings.Split(value, ",")
	if len(parts) < 3 {
		return value, nil
	}
	for _, term := range parts[2:] {
		terms = append(terms, strings.ToLower(strings.TrimSpace(term)))
	}
	return strings.Join(parts[:2], ","), terms
}

// logicalLines yields the logical lines of properties with the number of
// their first line: comments and blank lines are left out, lines that end in
// an odd number of backslashes are joined with the next one.
func logicalLines(text []byte) func(yield func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
		text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
		var entry []byte
		start := 0 // of entry; 0 while there is none
		for i, line := range bytes.Split(text, []byte("\n")) {
			line = bytes.TrimLeft(line, " \t\f")
			if start == 0 {
				if len(line) == 0 || line[0] == '#' || line[0] == '!' {
					continue
				}
				start = i + 1
			}
			backslashes := len(line) - len(bytes.TrimRight(line, `\`))
			if backslashes%2 == 1 {
				entry = append(entry, line[:len(line)-1]...)
				continue
			}
			if entry = append(entry, line...); len(entry) > 0 && !yield(start, entry) {
				return
			}
			entry, start = nil, 0
		}
		if len(entry) > 0 {
			yield(start, entry)
		}
	}
}

// reason is why the library cannot read an entry, without its own line number.
func reason(entry []byte, err error) string {
	if entry[0] == '=' || entry[0] == ':' {
		return "a range without a name"
	}
	text := strings.TrimPrefix(err.Error(), "properties: ")
	return strings.Join(strings.Fields(strings.TrimPrefix(text, "Line 1: ")), " ")
}
