package cmdline

import "strings"

// Split parts a text into words as a shell would, without running anything:
// words are parted by blanks, tabs and line ends; '…' and "…" group; a backslash
// takes the next character as it is, in "…" only before " and \ and $, in '…'
// never. An empty pair of quotes is an empty word.
//
// Variables are left in the words, whatever the quotes, and belong to one word
// each: a blank or a quote within ${…} does not part. So a variable whose value
// holds blanks stays one argument. A backslash before ${ escapes it as a second
// $ does. The error is an ErrInvalid, for a quote that is not closed.
func Split(text string) ([]string, error) {
	refs := references(text)
	var words []string
	var word strings.Builder
	inWord := false
	var quoted byte
	for i := 0; i < len(text); {
		c := text[i]
		if c == '$' {
			if ref, found := referenceAt(refs, i); found {
				word.WriteString(text[i : ref.end+1])
				inWord = true
				i = ref.end + 1
				continue
			}
			if n := opening(text[i:]); n == 3 {
				word.WriteString(text[i : i+n])
				inWord = true
				i += n
				continue
			}
		}
		if c == '\\' && quoted != '\'' && i+1 < len(text) {
			next := text[i+1]
			if quoted == 0 || strings.IndexByte(`"\$`, next) >= 0 {
				if next == '$' && opening(text[i+1:]) == 2 {
					word.WriteByte('$')
				}
				if next == '$' {
					// What follows is a variable to the rest of this loop.
					if ref, found := referenceAt(refs, i+1); found {
						word.WriteString(text[i+1 : ref.end+1])
						i = ref.end + 1
						inWord = true
						continue
					}
				}
				word.WriteByte(next)
				inWord = true
				i += 2
				continue
			}
		}
		i++
		switch {
		case quoted != 0:
			if c == quoted {
				quoted = 0
			} else {
				word.WriteByte(c)
			}
		case c == '"' || c == '\'':
			quoted = c
			inWord = true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quoted != 0 {
		return nil, problemf(ErrInvalid, "a quote (%c) is not closed", quoted)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
