package cmdline

// Fill returns the text with those variables replaced that lookup knows, and all
// else as it is written: unknown variables with their defaults and their
// escapes too. It is for texts in which another program, a shell mostly, replaces
// variables of its own. The values stand for themselves. $${name} of a known
// name is the text ${name}.
//
// Unknown are the names of the references that stay, each once.
func Fill(text string, lookup Lookup) (filled string, unknown []string) {
	var out []byte
	at := 0 // what is before it was written
	seen := make(map[string]bool)
	for _, ref := range references(text) {
		if ref.open < at {
			continue // within one that was replaced
		}
		end := ref.end
		if ref.split >= 0 {
			end = ref.split
		}
		name := text[ref.body:end]
		value, known := lookup(name)
		switch {
		case !known:
			if !ref.escaped && !seen[name] {
				seen[name] = true
				unknown = append(unknown, name)
			}
			continue
		case ref.escaped:
			value = text[ref.open+1 : ref.end+1]
		}
		out = append(append(out, text[at:ref.open]...), value...)
		at = ref.end + 1
	}
	if at == 0 {
		return text, unknown
	}
	return string(append(out, text[at:]...)), unknown
}
