package cmdline_test

import (
	"slices"
	"testing"

	"berth/launcher/cmdline"
)

// Only what is known is replaced; all else is another program's.
func TestFill(t *testing.T) {
	known := map[string]string{"PORT": "8080", "corus.server.port.http": "8081", "odd": "${PORT}"}
	lookup := func(name string) (string, bool) { v, ok := known[name]; return v, ok }
	for _, tt := range []struct {
		name, text, want string
		unknown          []string
	}{
		{"none", "plain $ text } $PORT", "plain $ text } $PORT", nil},
		{"known", "-p=${PORT}:${corus.server.port.http}", "-p=8080:8081", nil},
		{"angle", "$<corus.server.port.http>", "8081", nil},
		{"unknown", "${i} ${PORT} ${i} ${j}", "${i} 8080 ${i} ${j}", []string{"i", "j"}},
		{"default of a known one", "${PORT:-3000}", "8080", nil},
		{"default of an unknown one", "${x:-${PORT}}", "${x:-8080}", []string{"x"}},
		{"escape of a known one", "$${PORT}", "${PORT}", nil},
		{"escape of an unknown one", "$${x}", "$${x}", nil},
		{"a value stands for itself", "${odd}", "${PORT}", nil},
		{"not closed", "${PORT", "${PORT", nil},
		{"within one that is replaced", "${PORT:-${x}} end", "8080 end", nil},
		{"a script", `for i in 1 2; do echo ${i#x} ${PORT}; done`, `for i in 1 2; do echo ${i#x} 8080; done`, []string{"i#x"}},
		{"empty", "", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, unknown := cmdline.Fill(tt.text, lookup)
			if got != tt.want || !slices.Equal(unknown, tt.unknown) {
				t.Errorf("%q became %q, unknown %q; want %q, %q", tt.text, got, unknown, tt.want, tt.unknown)
			}
		})
	}
}
