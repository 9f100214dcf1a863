// Package bench measures Berth beside what this machine allows at most: each
// figure has a floor that is measured in the same run, in turns with it.
//
//	go test -run '^$' -bench . -benchtime 7x -timeout 30m ./bench
//
// runs everything in seven rounds and ends with a table of the medians. With
// -short the work is small, to see that everything runs. README.md tells what
// each line is.
package bench
