package shell_test

import (
	"strings"
	"testing"
)

func TestAlias(t *testing.T) {
	for _, tt := range []struct {
		name, script, out, err string
		code                   int
	}{
		{"with its options", "alias -n go -c \"echo 'a  b' c\"\ngo\ngo d", "a  b c\na  b c d\n", "", 0},
		{"without options", "alias -n say -c echo\nsay hello", "hello\n", "", 0},
		{"of an alias", "alias -n say -c echo\nalias -n hi -c \"say hi\"\nalias -n say -c \"echo no\"\nhi", "hi\n", "", 0},
		{"of itself", "alias -n a -c \"a b\"", "", "line 1: alias: option -c: a cannot stand for itself", 2},
		{"in a circle", "alias -n a -c \"echo a\"\nalias -n b -c a\nalias -n a -c b\na", "a\n", "", 0},
		{"of no command", "alias -n a -c \"frob x\"", "", "unknown command `frob`", 2},
		{"of nothing", "alias -n a -c \" \"", "", "option -c is empty", 2},
		{"of an open quote", `alias -n a -c "echo 'x"`, "", "option -c: a quote is not closed", 2},
		{"with a command's name", "alias -n ps -c ls", "", "option -n: ps is a command", 2},
		{"with a bad name", "alias -n 'a b' -c ls", "", "letters, digits", 2},
		{"listed", "alias -n b -c \"echo 'x y'\"\nalias -n a -c ls\nalias ls\nalias", "a = ls\nb = echo 'x y'\na = ls\nb = echo 'x y'\n", "", 0},
		{"as JSON", "alias -n a -c ls\nalias ls -o json", "[\n  {\n    \"name\": \"a\",\n    \"command\": \"ls\"\n  }\n]\n", "", 0},
		{"deleted", "alias -n a1 -c ls\nalias -n a2 -c ls\nalias -n b -c ls\nalias del -n 'a*'\nalias ls", "deleted a1 = ls\ndeleted a2 = ls\nb = ls\n", "", 0},
		{"deleted, and none", "alias del -n x\nalias ls", "", "no alias matches x\nthere is no alias\n", 0},
		{"deleted without a name", "alias del", "", "option -n is missing", 2},
		{"half", "alias -n a", "", "option -c is missing", 2},
		{"not quoted", "alias -n a -c exec -d demo", "", "unknown option -d", 2},
		{"a word", "alias a", "", "unexpected word `a`", 2},
		{"gone", "alias -n a -c ls\nalias del -n a\na", "deleted a = ls\n", "unknown command `a`", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := newDaemon(t).run(t, tt.script)
			if got.code != tt.code || got.out != tt.out || tt.err == "" && got.err != "" || !strings.Contains(got.err, tt.err) {
				t.Errorf("code %d, out %q, err %q", got.code, got.out, got.err)
			}
		})
	}
	if got := newDaemon(t).run(t, "", "alias", "-n", "a", "-c", "ls"); got.code != 0 || !strings.Contains(got.err, "it ends with this command") {
		t.Errorf("as a command by itself: %+v", got)
	}
}
