package shell

import (
	"strconv"
	"strings"
)

// runs shortens ascending ports: 8080, 8082-8085. None is "-".
func runs(ports []int) string {
	if len(ports) == 0 {
		return "-"
	}
	var b strings.Builder
	for i := 0; i < len(ports); {
		j := i
		for j+1 < len(ports) && ports[j+1] == ports[j]+1 {
			j++
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(run(ports[i], ports[j]))
		i = j + 1
	}
	return b.String()
}

// run is the ports from first to last.
func run(first, last int) string {
	if first == last {
		return strconv.Itoa(first)
	}
	return strconv.Itoa(first) + "-" + strconv.Itoa(last)
}
