package shell

import (
	"errors"
	"strings"
)

var (
	errQuote     = errors.New("a quote is not closed")
	errBackslash = errors.New("nothing stands behind the last backslash")
)

// split parts a line into words, as a shell would: blanks part them; single
// quotes keep everything; double quotes keep all but \", \\, \$ and variables;
// a backslash keeps the next letter; # at the start of a word begins a comment.
// ${name} is replaced where lookup knows it, within the word, and stays as it
// is elsewhere; a nil lookup knows nothing.
func split(line string, lookup func(name string) (string, bool)) ([]string, error) {
	var (
		words []string
		word  strings.Builder
		open  bool // a word has begun, though it may be empty
		quote byte
	)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == '\'':
			if c == '\'' {
				quote = 0
			} else {
				word.WriteByte(c)
			}
		case c == '$' && strings.HasPrefix(line[i:], "${"):
			open = true
			text, n := variable(line[i:], lookup)
			word.WriteString(text)
			i += n - 1
		case quote == '"':
			switch {
			case c == '"':
				quote = 0
			case c == '\\' && i+1 < len(line) && strings.IndexByte(`"\$`, line[i+1]) >= 0:
				i++
				word.WriteByte(line[i])
			default:
				word.WriteByte(c)
			}
		case c == '\'' || c == '"':
			quote, open = c, true
		case c == '\\':
			if i+1 == len(line) {
				return nil, errBackslash
			}
			i++
			open = true
			word.WriteByte(line[i])
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			if open {
				words = append(words, word.String())
				word.Reset()
				open = false
			}
		case c == '#' && !open:
			return words, nil
		default:
			open = true
			word.WriteByte(c)
		}
	}
	if quote != 0 {
		return nil, errQuote
	}
	if open {
		words = append(words, word.String())
	}
	return words, nil
}

// variable reads ${name} at the start of text and returns what stands for it
// and how many bytes it has there.
func variable(text string, lookup func(string) (string, bool)) (string, int) {
	end := strings.IndexByte(text, '}')
	if end < 0 {
		return "$", 1
	}
	if lookup != nil {
		if value, ok := lookup(text[2:end]); ok {
			return value, end + 1
		}
	}
	return text[:end+1], end + 1
}
