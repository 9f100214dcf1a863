package cmdline

import (
	"slices"
	"strings"
)

// MaxValue is how many bytes a value may have, before and after its variables
// are replaced. A single argument of Linux holds twice as many.
const MaxValue = 64 << 10

// maxWork bounds the bytes that are looked at to expand one value. Without it
// variables that double each other and end empty would take a time exponential
// in their number and never reach MaxValue.
const maxWork = 16 * MaxValue

// stepWork is what a variable costs beside its bytes, so that short values that
// use each other count for the time that they take.
const stepWork = 64

// Lookup finds the value of a variable. The value may hold variables.
type Lookup func(name string) (value string, found bool)

// Expand returns the text with its variables replaced, and the names of the
// unknown ones, each once and in the order of the text.
//
//   - ${name} and $<name> are the value of a variable.
//   - ${name:-text} is the text where the variable is unknown. The text may hold
//     variables, which are looked at only then.
//   - $${ and $$< are ${ and $< as text. So $${name} is the text ${name}.
//   - A name may hold variables: ${url.${stage}}.
//   - An unknown variable stays as it is written, and so does a bracket that is
//     not closed.
//
// A value that holds variables has them replaced in its turn; what an escape of
// it yields is never looked at again. The errors are a *CircleError and
// ErrTooLong.
func Expand(text string, lookup Lookup) (expanded string, unknown []string, err error) {
	e := expander{find: func(name string) (variable, bool) {
		value, found := lookup(name)
		return variable{value: value, source: fromEnvironment}, found
	}}
	expanded, err = e.expand(text)
	if err != nil {
		return "", nil, err
	}
	if len(e.unknown) == 0 {
		return expanded, nil, nil
	}
	return expanded, e.unknown, nil
}

// source is where a variable comes from, in the order of looking.
type source int

const (
	fromFacts source = iota
	fromStarter
	fromProcess
	fromServer
	fromSet
	fromEnvironment
)

// variable is a value with where it comes from.
type variable struct {
	value  string
	source source
	final  bool // the value stands for itself

	// secret is the hidden property that the value is or was made with.
	secret secret
}

// frame is a variable whose value is being expanded.
type frame struct {
	name   string
	source source
}

// expander replaces the variables of one value.
type expander struct {
	find func(name string) (variable, bool)

	// item is the named value that is being rendered, if it has a name. It
	// cannot be found yet, and a value that needs it forms a circle.
	item string

	frames  []frame
	unknown []string
	work    int
	secret  secret // the first hidden property that was used
}

func (e *expander) expand(text string) (string, error) {
	if strings.IndexByte(text, '$') < 0 && len(text) <= MaxValue {
		return text, nil
	}
	out, err := e.append(nil, text)
	return string(out), err
}

// append appends the expansion of a whole text to out.
func (e *expander) append(out []byte, text string) ([]byte, error) {
	if err := e.spend(len(text)); err != nil {
		return out, err
	}
	if len(text) > MaxValue {
		return out, tooLong()
	}
	return e.appendSpan(out, text, references(text), 0, len(text))
}

// appendSpan appends the expansion of text[from:to] to out.
func (e *expander) appendSpan(out []byte, text string, refs []reference, from, to int) ([]byte, error) {
	for from < to {
		next := strings.IndexByte(text[from:to], '$')
		if next < 0 {
			out = append(out, text[from:to]...)
			break
		}
		out = append(out, text[from:from+next]...)
		from += next
		if opening(text[from:to]) == 3 {
			out = append(out, text[from+1:from+3]...)
			from += 3
			continue
		}
		ref, found := referenceAt(refs, from)
		if !found {
			out = append(out, '$')
			from++
			continue
		}
		var err error
		if out, err = e.appendReference(out, text, refs, ref); err != nil {
			return out, err
		}
		from = ref.end + 1
	}
	if len(out) > MaxValue {
		return out, tooLong()
	}
	return out, nil
}

func (e *expander) appendReference(out []byte, text string, refs []reference, ref reference) ([]byte, error) {
	nameEnd := ref.end
	if ref.split >= 0 {
		nameEnd = ref.split
	}
	unknownBefore := len(e.unknown)
	name := text[ref.body:nameEnd]
	if strings.IndexByte(name, '$') >= 0 {
		// Names that nest are copied once for each of them.
		if err := e.spend(len(name)); err != nil {
			return out, err
		}
		expanded, err := e.appendSpan(nil, text, refs, ref.body, nameEnd)
		if err != nil {
			return out, err
		}
		name = string(expanded)
	}
	// A name with an unknown part is no name.
	complete := len(e.unknown) == unknownBefore
	if complete {
		if v, found := e.find(name); found {
			return e.appendVariable(out, name, v)
		}
	}
	if ref.split >= 0 {
		e.unknown = e.unknown[:unknownBefore]
		return e.appendSpan(out, text, refs, ref.split+2, ref.end)
	}
	if complete {
		if e.item != "" && name == e.item {
			return out, circle([]string{name}, e.frames, name)
		}
		if !slices.Contains(e.unknown, name) {
			e.unknown = append(e.unknown, name)
		}
	}
	return append(out, text[ref.open:ref.end+1]...), nil
}

func (e *expander) appendVariable(out []byte, name string, v variable) ([]byte, error) {
	if !e.secret.isSome() {
		e.secret = v.secret
	}
	if v.final || strings.IndexByte(v.value, '$') < 0 {
		if err := e.spend(0); err != nil {
			return out, err
		}
		if len(out)+len(v.value) > MaxValue {
			return out, tooLong()
		}
		return append(out, v.value...), nil
	}
	f := frame{name, v.source}
	if at := slices.Index(e.frames, f); at >= 0 {
		return out, circle(nil, e.frames[at:], name)
	}
	e.frames = append(e.frames, f)
	out, err := e.append(out, v.value)
	e.frames = e.frames[:len(e.frames)-1]
	return out, err
}

// circle returns the error of a name that is needed again by the last of what
// it needs itself.
func circle(names []string, frames []frame, name string) error {
	for _, f := range frames {
		names = append(names, f.name)
	}
	return &CircleError{Names: append(names, name)}
}

// spend counts a step and the bytes that it looks at.
func (e *expander) spend(bytes int) error {
	e.work += bytes + stepWork
	if e.work > maxWork {
		return problemf(ErrTooLong, "replacing its variables takes too many steps; let them use each other less")
	}
	return nil
}

func tooLong() error {
	return problemf(ErrTooLong, "it is longer than %d KiB with its variables replaced; make it shorter", MaxValue>>10)
}
