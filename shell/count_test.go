package shell_test

import (
	"strings"
	"testing"

	"berth/api"
)

func TestCount(t *testing.T) {
	for _, tt := range []struct {
		line, out, err string
		code           int
	}{
		{"count ps", "2\n", "", 0},
		{"count ps -o json -cluster", "2\n", "", 0},
		{"count -cluster=localhost port ls -n *", "2\n", "", 0},
		{"count -a 1 ls -d demo -v 1.0 -cluster", "1\n", "", 0},
		{"count -a 3 ls", "", "berth: count: 3 wanted, and there are 1\n", 1},
		{"count -a 0 ps", "", "berth: count: 0 wanted, and there are 2\n", 1},
		{"count exec -d demo -v 1.0 -p test", "2\n", "", 0},
		{"count undeploy -d demo -v 1.0", "1\n", "", 0},
		{"count echo a b", "0\n", "", 0},
		{"count count ps", "0\n", "", 0},
		{"count berth ps", "2\n", "", 0},
		{"count kill -i 9", "", "berth: count: kill: not there\n", 4},
		{"count", "", "berth: count: COMMAND is missing; try berth count --help\n", 2},
		{"count -a x ps", "", "berth: count: option -a: `x` is not a whole number; try berth count --help\n", 2},
		{"count frob", "", "berth: count: unknown command `frob`; try berth count --help\n", 2},
		{"count ps -frob", "", "berth: ps: unknown option -frob; try berth ps --help\n", 2},
	} {
		t.Run(tt.line, func(t *testing.T) {
			d := sample(newDaemon(t))
			d.problems["POST /v1/processes/kill"] = api.Error{Detail: "not there", Code: api.CodeProcessNotFound}
			if got := d.run(t, "", strings.Fields(tt.line)...); got.code != tt.code || got.out != tt.out || got.err != tt.err {
				t.Errorf("code %d, out %q, err %q", got.code, got.out, got.err)
			}
		})
	}
	// What it counts is not listed, and what comes after it is again.
	d := sample(newDaemon(t))
	d.processes = nil
	if got := d.run(t, "count ps\nps\necho end"); got.code != 0 || got.out != "0\nend\n" || got.err != "there is no process\n" {
		t.Errorf("%+v", got)
	}
}
