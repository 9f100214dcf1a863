package descriptor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"go.yaml.in/yaml/v3"
)

// literal is a scalar that is not a text, as it was written where the format
// allows to know that: a number, a time.
type literal string

// readTables reads a text of tables in JSON, YAML or TOML into maps of texts,
// literals, booleans, nil, lists and maps.
func readTables(name string, text []byte) (map[string]any, error) {
	format := strings.TrimPrefix(strings.ToLower(path.Ext(name)), ".")
	start := bytes.TrimLeft(text, " \t\r\n")
	var value any
	var err error
	switch {
	case len(start) == 0:
		return nil, invalid("the file is empty")
	case format == "json", !isAppFormat(format) && start[0] == '{':
		format = "JSON"
		value, err = readJSON(text)
	case format == "toml", !isAppFormat(format) && bytes.Contains(text, []byte("[[apps]]")):
		format = "TOML"
		value, err = readTOML(text)
	default:
		format = "YAML"
		value, err = readYAML(text)
	}
	if err != nil {
		return nil, invalid("not %s: %s", format, plain(err.Error()))
	}
	values, ok := value.(map[string]any)
	if !ok {
		return nil, invalid("an app file is a table with a list \"apps\"")
	}
	return values, nil
}

func isAppFormat(format string) bool {
	return slices.Contains([]string{"json", "yaml", "yml", "toml"}, format)
}

func readJSON(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		if at, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fmt.Errorf("line %d: %w", 1+bytes.Count(text[:min(int(at.Offset), len(text))], []byte("\n")), err)
		}
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the first value")
	}
	return simplify(value), nil
}

func readTOML(text []byte) (any, error) {
	values := map[string]any{}
	if _, err := toml.NewDecoder(bytes.NewReader(text)).Decode(&values); err != nil {
		return nil, err
	}
	return simplify(values), nil
}

// readYAML reads by nodes, so that 1.10 stays that.
func readYAML(text []byte) (any, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if document.Kind == 0 {
		return nil, errors.New("there is nothing in it")
	}
	budget := maxElements * 10
	return nodeValue(document.Content[0], &budget)
}

// nodeValue turns a node into a value; budget bounds what aliases can make grow.
func nodeValue(n *yaml.Node, budget *int) (any, error) {
	if *budget--; *budget < 0 {
		return nil, errors.New("its aliases make it too large")
	}
	switch n.Kind {
	case yaml.AliasNode:
		return nodeValue(n.Alias, budget)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, child := range n.Content {
			value, err := nodeValue(child, budget)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, nil
	case yaml.MappingNode:
		values, merged := map[string]any{}, map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			value, err := nodeValue(n.Content[i+1], budget)
			if err != nil {
				return nil, err
			}
			if key.Tag == "!!merge" {
				if err := merge(merged, value); err != nil {
					return nil, err
				}
				continue
			}
			if key.Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("line %d: a key is not a text", key.Line)
			}
			if _, twice := values[key.Value]; twice {
				return nil, fmt.Errorf("line %d: key %s stands twice", key.Line, quote(key.Value))
			}
			values[key.Value] = value
		}
		for key, value := range merged {
			if _, own := values[key]; !own {
				values[key] = value
			}
		}
		return values, nil
	default:
		switch n.ShortTag() {
		case "!!null":
			return nil, nil
		case "!!bool":
			var b bool
			err := n.Decode(&b)
			return b, err
		case "!!str":
			return n.Value, nil
		}
		return literal(n.Value), nil
	}
}

// merge adds what "<<" names: a table, or a list of tables of which the first counts.
func merge(into map[string]any, value any) error {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	for _, from := range list {
		values, ok := from.(map[string]any)
		if !ok {
			return errors.New("\"<<\" does not name a table")
		}
		for key, value := range values {
			if _, had := into[key]; !had {
				into[key] = value
			}
		}
	}
	return nil
}

// simplify turns what decoders make into what readTables promises.
func simplify(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = simplify(value)
		}
		return v
	case []map[string]any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = simplify(v[i])
		}
		return list
	case []any:
		for i := range v {
			v[i] = simplify(v[i])
		}
		return v
	case json.Number:
		return literal(v)
	case int64:
		return literal(strconv.FormatInt(v, 10))
	case float64:
		return literal(strconv.FormatFloat(v, 'f', -1, 64))
	case string, bool, nil:
		return v
	default:
		return literal(fmt.Sprint(v))
	}
}

// scalar returns a value that stands for a text, and whether it does.
func scalar(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case literal:
		return string(v), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// table is a table of an app file with where it stands.
type table struct {
	r      *reader
	path   string
	values map[string]any
}

func (t *table) problem(format string, args ...any) {
	(&element{r: t.r, path: t.path}).problem(format, args...)
}

func (t *table) warn(format string, args ...any) {
	t.r.warn("%s: %s", t.path, fmt.Sprintf(format, args...))
}

// check warns of keys that are not known, and of those that are ignored, with
// the reason.
func (t *table) check(known []string, ignored map[string]string) {
	keys := make([]string, 0, len(t.values))
	for key := range t.values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		switch why, known, near := ignored[key], slices.Contains(known, key), nearest(key, known); {
		case known:
		case why != "":
			t.warn("%q is ignored: %s", key, why)
		case near != "":
			t.warn("key %s is not known and is ignored: did you mean %q?", quote(key), near)
		default:
			t.warn("key %s is not known and is ignored", quote(key))
		}
	}
}

// text returns the text of a key; empty where it is left out.
func (t *table) text(key string) string {
	value, ok := t.values[key]
	if !ok || value == nil {
		return ""
	}
	text, ok := scalar(value)
	if !ok {
		t.problem("%q is not a text", key)
	}
	return text
}

// filled returns a text that must be there and not blank.
func (t *table) filled(key string) string {
	text := t.text(key)
	if strings.TrimSpace(text) == "" {
		t.problem("%q is missing or empty", key)
	}
	return text
}

func (t *table) integer(key string, otherwise, low, high int) int {
	text := strings.TrimSpace(t.text(key))
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		t.problem("%q: %s is not a whole number from %d to %d", key, quote(text), low, high)
		return otherwise
	}
	return n
}

func (t *table) boolean(key string, otherwise bool) bool {
	switch strings.ToLower(strings.TrimSpace(t.text(key))) {
	case "":
		return otherwise
	case "true", "1":
		return true
	case "false", "0":
		return false
	}
	t.problem("%q: %s is neither true nor false", key, quote(t.text(key)))
	return otherwise
}

// duration returns a time of at most a day: a number of units, or a text such
// as "5s" or "500ms".
func (t *table) duration(key string, unit, otherwise, low time.Duration) time.Duration {
	text := strings.TrimSpace(t.text(key))
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if n, wrong := strconv.ParseFloat(text, 64); wrong == nil {
		d, err = time.Duration(n*float64(unit)), nil
		if !(n >= 0 && n <= float64(dayInMilliseconds)) {
			d = -1
		}
	}
	if err != nil || d < low || d > dayInSeconds*time.Second {
		t.problem("%q: %s is no time from %s to 24h: write a number of %s, or a text such as \"5s\"", key, quote(text), low, map[time.Duration]string{time.Second: "seconds", time.Millisecond: "milliseconds"}[unit])
		return otherwise
	}
	return d
}

// words returns a list of texts. One text is parted at blanks, as PM2 does.
func (t *table) words(key string) []string {
	switch value := t.values[key].(type) {
	case nil:
		return nil
	case []any:
		var words []string
		for _, v := range value {
			word, ok := scalar(v)
			if !ok {
				t.problem("%q: not all of it are texts", key)
				return nil
			}
			words = append(words, word)
		}
		return words
	default:
		text, ok := scalar(value)
		switch {
		case !ok:
			t.problem("%q is not a list of texts", key)
		case strings.ContainsAny(text, `"'\`):
			t.problem("%q has quotes: write it as a list of texts", key)
		}
		return strings.Fields(text)
	}
}

// pairs returns a table of texts, sorted by name.
func (t *table) pairs(key string) []Property {
	value := t.values[key]
	if value == nil {
		return nil
	}
	values, ok := value.(map[string]any)
	if !ok {
		t.problem("%q is not a table of names and values", key)
		return nil
	}
	var all []Property
	for name, value := range values {
		text, ok := scalar(value)
		if !ok && value != nil {
			t.problem("%q: the value of %s is not a text", key, quote(name))
		}
		if name == "" || strings.ContainsAny(name, "=\x00") {
			t.problem("%q: %s is no name of a variable", key, quote(name))
		}
		all = append(all, Property{Name: name, Value: text})
	}
	slices.SortFunc(all, func(a, b Property) int { return strings.Compare(a.Name, b.Name) })
	return all
}
