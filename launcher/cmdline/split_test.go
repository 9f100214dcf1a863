package cmdline_test

import (
	"errors"
	"reflect"
	"testing"

	"berth/launcher/cmdline"
)

func TestSplit(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"blanks", " \t\r\n ", nil},
		{"words", "a bc\td\ne", []string{"a", "bc", "d", "e"}},
		{"blanks around", "  a   b  ", []string{"a", "b"}},
		{"double quotes", `a "b c" d`, []string{"a", "b c", "d"}},
		{"single quotes", `a 'b c' d`, []string{"a", "b c", "d"}},
		{"quotes within a word", `a"b c"d'e f'`, []string{"ab cde f"}},
		{"quotes of the other kind", `"a'b" 'c"d'`, []string{"a'b", `c"d`}},
		{"empty quotes", `a "" '' b`, []string{"a", "", "", "b"}},
		{"backslash", `a\ b \"c \'d \\e`, []string{"a b", `"c`, "'d", `\e`}},
		{"backslash in double quotes", `"a\"b\\c\d"`, []string{`a"b\c\d`}},
		{"backslash in single quotes", `'a\b\'`, []string{`a\b\`}},
		{"backslash at the end", `a\`, []string{`a\`}},
		{"backslash before a dollar", `\$5 "\$6" \a`, []string{"$5", "$6", "a"}},
		{"variable", `a ${b} c`, []string{"a", "${b}", "c"}},
		{"variable in quotes", `"${a}" '${b}'`, []string{"${a}", "${b}"}},
		{"variable with a blank", `${a b} ${x:-two words} $<y:-three "quoted' words>`,
			[]string{"${a b}", "${x:-two words}", `$<y:-three "quoted' words>`}},
		{"variable with a variable", `${a:-${b:-c d} e}`, []string{"${a:-${b:-c d} e}"}},
		{"variable within a word", `-x=${a:-b c}.d`, []string{"-x=${a:-b c}.d"}},
		{"escaped variable", `$${a b} \${c d} "\${e f}"`, []string{"$${a b}", "$${c d}", "$${e f}"}},
		{"escape that is not closed", `$${a b`, []string{"$${a", "b"}},
		{"variable that is not closed", `${a b`, []string{"${a", "b"}},
		{"beyond ascii", "ä 'ö ü'", []string{"ä", "ö ü"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := cmdline.Split(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("Split(%q) = %q, want %q", test.text, got, test.want)
			}
		})
	}
}

func TestSplitError(t *testing.T) {
	for text, want := range map[string]string{
		`a "b`:    `a quote (") is not closed`,
		`a 'b`:    `a quote (') is not closed`,
		`"a\"`:    `a quote (") is not closed`,
		`'a" 'b'`: `a quote (') is not closed`,
	} {
		words, err := cmdline.Split(text)
		if !errors.Is(err, cmdline.ErrInvalid) || err.Error() != want {
			t.Errorf("Split(%q) = %q, %v; want %s", text, words, err, want)
		}
	}
}
