package cmdline_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"berth/launcher/cmdline"
)

func TestParseEnvFile(t *testing.T) {
	text := "\ufeff# a comment\r\n" +
		"\n" +
		"PLAIN=some value \t\n" +
		"  SPACED = around it  # a comment\n" +
		"export EXPORTED=1\n" +
		"exported=2\n" +
		"HASH=a#b\n" +
		"NOTHING=\n" +
		"ONLY=# a comment\n" +
		"EQUALS=a=b=\n" +
		"QUOTED=\"two\\nlines \\\"q\\\" \\$ \\\\ \\d #no\"  # a comment\n" +
		"OWN='${PORT} \\n \"q\"'\n" +
		"KEY=\"-----BEGIN\nabc\n-----END\"\n" +
		"EMPTY=''\n" +
		"with.dots-and=${PORT}"
	want := []cmdline.FileVariable{
		{Property: cmdline.Property{Name: "PLAIN", Value: "some value"}},
		{Property: cmdline.Property{Name: "SPACED", Value: "around it"}},
		{Property: cmdline.Property{Name: "EXPORTED", Value: "1"}},
		{Property: cmdline.Property{Name: "exported", Value: "2"}},
		{Property: cmdline.Property{Name: "HASH", Value: "a#b"}},
		{Property: cmdline.Property{Name: "NOTHING"}},
		{Property: cmdline.Property{Name: "ONLY"}},
		{Property: cmdline.Property{Name: "EQUALS", Value: "a=b="}},
		{Property: cmdline.Property{Name: "QUOTED", Value: "two\nlines \"q\" $ \\ \\d #no"}},
		{Property: cmdline.Property{Name: "OWN", Value: `${PORT} \n "q"`}, Literal: true},
		{Property: cmdline.Property{Name: "KEY", Value: "-----BEGIN\nabc\n-----END"}},
		{Property: cmdline.Property{Name: "EMPTY"}, Literal: true},
		{Property: cmdline.Property{Name: "with.dots-and", Value: "${PORT}"}},
	}
	got, err := cmdline.ParseEnvFile(text)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\n%+v, not\n%+v", err, got, want)
	}
}

func TestParseEnvFileRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\nhunter2":             "line 2: it is not NAME=value",
		"A=1\n\n=hunter2":          "line 3: what stands before the =",
		"1A=hunter2":               "line 1: what stands before the =",
		"A B=hunter2":              "line 1: what stands before the =",
		"A=\"x\ny\"\nB='hunter2\n": "line 3: a quote is not closed",
		`A="hunter2" x`:            "line 1: text follows the closing quote",
		"A=hunter2\x00":            "not a text",
		"A=hunter2\xff":            "not a text",
	} {
		_, err := cmdline.ParseEnvFile(text)
		if !errors.Is(err, cmdline.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %q", text, err, want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v shows a value", err)
		}
	}
}

func FuzzParseEnvFile(f *testing.F) {
	f.Add("A=1\nexport B=\"x\\n\"\nC='${D}' # e\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := cmdline.ParseEnvFile(text)
		if err != nil {
			return
		}
		for _, v := range all {
			if v.Name == "" || strings.ContainsAny(v.Name, "= \n\x00") || strings.IndexByte(v.Value, 0) >= 0 {
				t.Errorf("%q gives %+v", text, v)
			}
		}
	})
}
