package portmaster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"berth/lease"
)

// Raw is a request's body as it came in: what is wrong with it is told as Django
// REST framework does.
type Raw struct {
	RawBody []byte `contentType:"application/json"`

	kind string
}

// Resolve notes the body's media type.
func (b *Raw) Resolve(ctx huma.Context) []error {
	b.kind = ctx.Header("Content-Type")
	return nil
}

var _ huma.Resolver = (*Raw)(nil)

// form reads the body's object. Without a body it is one without fields.
func (b *Raw) form() (*form, error) {
	f := &form{wrong: messages{}}
	if len(b.RawBody) == 0 {
		return f, nil
	}
	if kind, _, err := mime.ParseMediaType(b.kind); b.kind != "" && (err != nil || kind != "application/json") {
		return nil, &refusal{http.StatusUnsupportedMediaType, detail{fmt.Sprintf("Unsupported media type %q in request.", b.kind)}}
	}
	dec := json.NewDecoder(bytes.NewReader(b.RawBody))
	dec.UseNumber()
	var value any
	err := dec.Decode(&value)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more after its end")
		}
	}
	if err == nil && !utf8.Valid(b.RawBody) {
		err = errors.New("it is not UTF-8")
	}
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, detail{"JSON parse error - " + err.Error()}}
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, wrong(whole, "Invalid data. Expected a dictionary, but got %s.", pythonType(value))
	}
	f.fields = fields
	return f, nil
}

// pythonType is what Python calls the type of a JSON value.
func pythonType(value any) string {
	switch v := value.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case string:
		return "str"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "float"
		}
		return "int"
	}
	return "list"
}

// form is the fields of a request's body, and what was found wrong with them.
// Fields that nobody asks for are ignored.
type form struct {
	fields map[string]any
	wrong  messages
}

// err is the answer for what was found wrong, nil where that is nothing.
func (f *form) err() error {
	if len(f.wrong) == 0 {
		return nil
	}
	return &refusal{http.StatusBadRequest, f.wrong}
}

func (f *form) add(field, format string, args ...any) {
	f.wrong[field] = append(f.wrong[field], fmt.Sprintf(format, args...))
}

// has reports whether a field is given.
func (f *form) has(field string) bool {
	_, ok := f.fields[field]
	return ok
}

// given returns the value of a field that must not be null; where it is, or is
// missing though it is required, that is noted.
func (f *form) given(field string, required bool) (any, bool) {
	value, ok := f.fields[field]
	switch {
	case !ok && required:
		f.add(field, "This field is required.")
	case ok && value == nil:
		f.add(field, "This field may not be null.")
	}
	return value, ok && value != nil
}

// asText returns a value as text: numbers are, and white space around it goes.
func asText(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return strings.TrimSpace(v), true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// name returns a field of up to 64 characters, none of them a control
// character, and not blank.
func (f *form) name(field string, required bool) string {
	value, ok := f.given(field, required)
	if !ok {
		return ""
	}
	text, ok := asText(value)
	switch {
	case !ok:
		f.add(field, "Not a valid string.")
	case text == "":
		f.add(field, "This field may not be blank.")
	case utf8.RuneCountInString(text) > lease.MaxName:
		f.add(field, "Ensure this field has no more than %d characters.", lease.MaxName)
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		f.add(field, "Only printable characters are allowed.")
	}
	return text
}

// description returns a field of text that may be null, which is the same as
// empty.
func (f *form) description(field string) string {
	value := f.fields[field]
	if value == nil {
		return ""
	}
	text, ok := asText(value)
	switch {
	case !ok:
		f.add(field, "Not a valid string.")
	case utf8.RuneCountInString(text) > lease.MaxDescription:
		f.add(field, "Ensure this field has no more than %d characters.", lease.MaxDescription)
	case strings.ContainsRune(text, 0):
		f.add(field, "Null characters are not allowed.")
	}
	return text
}

// zeros is what may stand after an integer.
var zeros = regexp.MustCompile(`\.0*$`)

// port returns a field that is the bound of a service's ports.
func (f *form) port(field string, required bool) int {
	value, ok := f.given(field, required)
	if !ok {
		return 0
	}
	text, ok := asText(value)
	if len(text) > 1000 {
		f.add(field, "String value too large.")
		return 0
	}
	n, err := strconv.ParseInt(zeros.ReplaceAllString(text, ""), 10, 64)
	if _, isNumber := value.(json.Number); err != nil && isNumber {
		if x, floatErr := strconv.ParseFloat(text, 64); floatErr == nil && x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			n, err = int64(x), nil
		}
	}
	switch {
	case !ok, err != nil && !errors.Is(err, strconv.ErrRange):
		f.add(field, "A valid integer is required.")
	case n < firstPort || n > lastPort:
		f.add(field, "Port range is in reserved range.")
	}
	return int(n)
}
