package cmdline

import (
	"strings"
	"unicode/utf8"
)

// FileVariable is a variable that an environment file sets.
type FileVariable struct {
	Property

	// Literal says that it stood in single quotes: what looks like a variable in
	// it is text.
	Literal bool
}

// ParseEnvFile reads an environment file, as many tools keep one in .env:
//
//   - NAME=value, a line each, with blanks around name and value, and export before
//     the name, as they like. Empty lines, and those that begin with #, are
//     passed over.
//   - 'value' stands for itself, over several lines too.
//   - "value" may have several lines and the escapes \n, \r, \t, \", \\ and \$;
//     another backslash is one.
//   - A value without quotes ends with its line, or before a # behind a blank.
//
// A name is of letters of ASCII, digits, _, . and -, and does not begin with a digit. The error is
// an ErrInvalid that tells the line and never a value.
func ParseEnvFile(text string) ([]FileVariable, error) {
	text = strings.TrimPrefix(text, "\ufeff")
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return nil, problemf(ErrInvalid, "it is not a text in UTF-8")
	}
	p := envFile{rest: strings.ReplaceAll(text, "\r\n", "\n"), line: 1}
	var all []FileVariable
	for p.rest != "" {
		v, found, err := p.next()
		if err != nil {
			return nil, err
		}
		if found {
			all = append(all, v)
		}
	}
	return all, nil
}

// envFile is an environment file that is being read.
type envFile struct {
	rest string
	line int // of what is left, from 1
}

func (p *envFile) problem(line int, text string) error {
	return problemf(ErrInvalid, "line %d: %s", line, text)
}

// take takes n bytes off what is left.
func (p *envFile) take(n int) string {
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	p.line += strings.Count(taken, "\n")
	return taken
}

// takeLine takes the rest of a line, without its end.
func (p *envFile) takeLine() string {
	n := strings.IndexByte(p.rest, '\n')
	if n < 0 {
		return p.take(len(p.rest))
	}
	return p.take(n + 1)[:n]
}

// next reads a line, or the several that a value in quotes has.
func (p *envFile) next() (v FileVariable, found bool, err error) {
	line := p.line
	end := strings.IndexByte(p.rest, '\n')
	if end < 0 {
		end = len(p.rest)
	}
	first := strings.TrimSpace(p.rest[:end])
	if first == "" || first[0] == '#' {
		p.takeLine()
		return v, false, nil
	}
	at := strings.IndexByte(p.rest[:end], '=')
	if at < 0 {
		return v, false, p.problem(line, "it is not NAME=value")
	}
	v.Name = strings.TrimSpace(p.rest[:at])
	if after, ok := strings.CutPrefix(v.Name, "export"); ok && strings.TrimLeft(after, " \t") != after {
		v.Name = strings.TrimSpace(after)
	}
	if !isEnvName(v.Name) {
		return v, false, p.problem(line, "what stands before the = is not a name of letters, digits, \"_\", \".\" and \"-\"")
	}
	p.take(at + 1)
	p.take(len(p.rest) - len(strings.TrimLeft(p.rest, " \t")))
	if p.rest == "" || p.rest[0] != '\'' && p.rest[0] != '"' {
		v.Value = withoutComment(p.takeLine())
		return v, true, nil
	}
	quote := p.take(1)[0]
	v.Literal = quote == '\''
	if v.Value, err = p.quoted(quote, line); err != nil {
		return v, false, err
	}
	if after := strings.TrimSpace(p.takeLine()); after != "" && after[0] != '#' {
		return v, false, p.problem(line, "text follows the closing quote")
	}
	return v, true, nil
}

// quoted reads a value up to its closing quote.
func (p *envFile) quoted(quote byte, line int) (string, error) {
	var out strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == quote:
			p.take(i + 1)
			return out.String(), nil
		case c == '\\' && quote == '"' && i+1 < len(p.rest):
			i++
			switch e := p.rest[i]; e {
			case 'n':
				out.WriteByte('\n')
			case 'r':
				out.WriteByte('\r')
			case 't':
				out.WriteByte('\t')
			case '"', '\\', '$':
				out.WriteByte(e)
			default:
				out.WriteByte('\\')
				out.WriteByte(e)
			}
		default:
			out.WriteByte(c)
		}
	}
	return "", p.problem(line, "a quote is not closed")
}

// withoutComment is a value without quotes as it is meant.
func withoutComment(text string) string {
	for i := range len(text) {
		if text[i] == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
			text = text[:i]
			break
		}
	}
	return strings.TrimSpace(text)
}

func isEnvName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case '0' <= c && c <= '9', c == '.', c == '-':
			if i == 0 {
				return false
			}
		default:
			return false
		}
	}
	return name != ""
}
