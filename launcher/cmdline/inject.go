package cmdline

import "strings"

// toolOptions is the variable that a JVM takes options from, however it is started.
const toolOptions = "JAVA_TOOL_OPTIONS"

// inject appends the properties to JAVA_TOOL_OPTIONS. The JVM takes the options
// of its command line after them, and of two definitions of a property the later.
func inject(env *environ, properties []Property) error {
	words := make([]string, 0, len(properties)+1)
	if inherited, found := env.lookup(toolOptions); found && strings.TrimSpace(inherited) != "" {
		words = append(words, inherited)
	}
	for _, p := range properties {
		words = append(words, toolOption("-D"+p.Name+"="+p.Value))
	}
	value := strings.Join(words, " ")
	if len(toolOptions)+1+len(value) >= maxArg {
		return problemf(ErrTooLong, "%s is longer than the %d KiB that a variable may have", toolOptions, maxArg>>10)
	}
	if strings.IndexByte(value, 0) >= 0 {
		return problemf(ErrInvalid, "%s: a property holds a NUL character", toolOptions)
	}
	env.set(toolOptions, value)
	return nil
}

// toolOption quotes an option as HotSpot parses JAVA_TOOL_OPTIONS: white space
// parts options, "…" and '…' group, within a word too, and nothing escapes.
func toolOption(option string) string {
	if !strings.ContainsAny(option, " \t\n\v\f\r\"'") {
		return option
	}
	if !strings.Contains(option, `"`) {
		return `"` + option + `"`
	}
	var out strings.Builder
	for i, part := range strings.Split(option, `"`) {
		if i > 0 {
			out.WriteString(`'"'`)
		}
		if part != "" {
			out.WriteString(`"` + part + `"`)
		}
	}
	return out.String()
}
