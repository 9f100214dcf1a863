package shell

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/api"
	"berth/httpcheck"
	"berth/lease"
)

// httpCommands are the commands that ask over HTTP.
type httpCommands struct {
	Check httpCheckCommand `cmd:"" help:"ask servers until they answer as they should"`
	Post  httpPostCommand  `cmd:"" help:"send an empty POST request"`
}

func (httpCommands) page() page {
	return page{
		long: `Asks servers over HTTP: those that listen on ports of a range, or any URL. For scripts that go on once a server is up.`,
		examples: []example{
			{"http check -p http -c /demo -m 10 -t 5", "wait until all on ports of a range answer"},
		},
	}
}

type (
	// attemptCount is a number of attempts, 1 to a million.
	attemptCount int

	// statusCode is a status of HTTP, 100 to 599.
	statusCode int

	// prefix is what is written before the digits of a port, 1 to 6553.
	prefix int

	// webURL is an http or https URL.
	webURL string
)

func (n *attemptCount) UnmarshalText(text []byte) error {
	v, err := number(string(text), 1, 1_000_000)
	*n = attemptCount(v)
	return err
}

func (c *statusCode) UnmarshalText(text []byte) error {
	v, err := number(string(text), 100, 599)
	*c = statusCode(v)
	return err
}

func (p *prefix) UnmarshalText(text []byte) error {
	v, err := number(string(text), 1, 6553)
	*p = prefix(v)
	return err
}

func (u *webURL) UnmarshalText(text []byte) error {
	_, err := httpcheck.ParseURL(string(text))
	*u = webURL(text)
	return err
}

// Limits of one request of these commands.
const (
	connectLimit = 3 * time.Second
	answerLimit  = 10 * time.Second
	checksAtOnce = 16
)

type httpCheckCommand struct {
	URL       webURL        `name:"url" short:"u" placeholder:"URL" help:"ask this URL"`
	Port      string        `short:"p" placeholder:"PATTERN,…" bare:"*" word:"" complete:"range" help:"ask the processes with a port of these ranges; without PATTERN of all"`
	Context   string        `short:"c" placeholder:"PATH" help:"with -p: the path to ask for"`
	Prefix    prefix        `short:"x" placeholder:"DIGITS" help:"with -p: write this before the digits of each port: 8 makes 8100 of 100"`
	Instances instanceCount `short:"i" default:"1" placeholder:"N" help:"with -p: how many processes there have to be, at least"`
	Attempts  attemptCount  `short:"m" default:"12" placeholder:"N" help:"how often to ask, at most"`
	Interval  seconds       `short:"t" default:"5" placeholder:"SECONDS" help:"the pause between two times"`
	Status    statusCode    `short:"s" default:"200" placeholder:"CODE" help:"the status that they should answer"`
	outputOption
}

func (httpCheckCommand) page() page {
	return page{
		usage: []string{
			"berth http check -p [PATTERN,…] [-c PATH] [-x DIGITS] [-i N] [-m N] [-t SECONDS] [-s CODE]",
			"berth http check -u URL [-m N] [-t SECONDS] [-s CODE]",
		},
		long: `Asks a URL, or the processes that have a port of a range, and goes on asking until all answer with the status that they should. Where one does not after -m times the exit code is 1, and what it answered is told. An attempt takes no longer than 13 seconds. No proxy is used, and redirects are not followed.

A range named without * has to be there. With -p there have to be -i processes for each pattern; what is started or stopped meanwhile is taken into account.

diags needs no options: it asks as the descriptors say.`,
		examples: []example{
			{"http check -p http -c /demo -m 10 -t 5", "ask for /demo on all ports of a range that processes have"},
			{`http check -p "http.*" -x 8 -s 204`, "with a prefix before the ports, wanting status 204"},
			{"http check -u http://localhost:8080/demo", "ask a URL, up to 12 times in a minute"},
		},
	}
}

// endpoint is what is asked.
type endpoint struct {
	URL     string  `json:"url"`
	Process int     `json:"process,omitempty"`
	Name    string  `json:"name,omitempty"`
	Well    bool    `json:"well"`
	Code    int     `json:"code,omitempty"`
	Millis  float64 `json:"milliseconds"`
	Reason  string  `json:"reason,omitempty"`

	addresses []string // where to connect to; none: the host of the URL
}

func (c *httpCheckCommand) run(ctx context.Context, s *Shell) error {
	switch {
	case c.URL == "" && c.Port == "":
		return &UsageError{Text: "say what to ask: -p RANGE, or -u URL"}
	case c.URL != "" && c.Port != "":
		return &UsageError{Text: "option -u goes without -p"}
	case c.URL != "" && (c.Context != "" || c.Prefix != 0):
		return &UsageError{Text: "options -c and -x go with -p: write path and port into the URL"}
	}
	var all []endpoint
	var short string // what there is too little of
	err := s.busyWith(ctx, "asking", func(ctx context.Context, tell func(string)) error {
		for attempt := 1; ; attempt++ {
			var err error
			if all, short, err = c.attempt(ctx, s); err != nil {
				return err
			}
			bad := bads(all)
			if len(bad) == 0 && short == "" || attempt >= int(c.Attempts) {
				return nil
			}
			tell(fmt.Sprintf("attempt %d of %d: %s", attempt, int(c.Attempts), cmp.Or(short, strings.Join(bad, "; "))))
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Duration(float64(c.Interval) * float64(time.Second))):
			}
		}
	})
	if err != nil {
		return err
	}
	if len(all) == 0 && short == "" && c.Output == asTable {
		s.note("nothing to ask: no range matches %s", c.Port)
	}
	if err := list(s, c.Output, all, func() {
		for _, e := range all {
			if e.Well {
				s.out.printf("%s %s: %d%s\n", s.out.good("well"), oneLine(e.URL), e.Code, e.of())
			}
		}
	}); err != nil {
		return err
	}
	bad := bads(all)
	if short != "" {
		bad = append(bad, short)
	}
	if len(bad) > 0 {
		times := "times"
		if c.Attempts == 1 {
			times = "time"
		}
		return fmt.Errorf("not well after asking %d %s: %s", int(c.Attempts), times, strings.Join(bad, "; "))
	}
	return nil
}

// of says whose endpoint it is.
func (e endpoint) of() string {
	if e.Process == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s %d)", oneLine(e.Name), e.Process)
}

func bads(all []endpoint) []string {
	var bad []string
	for _, e := range all {
		if !e.Well {
			bad = append(bad, e.URL+e.of()+": "+e.Reason)
		}
	}
	if n := len(bad); n > 3 {
		bad = append(bad[:3], fmt.Sprintf("and %d more", n-3))
	}
	return bad
}

// attempt finds what is to be asked now, and asks it once. Short says what is
// not there yet.
func (c *httpCheckCommand) attempt(ctx context.Context, s *Shell) (all []endpoint, short string, err error) {
	if c.URL != "" {
		all = []endpoint{{URL: string(c.URL)}}
	} else {
		if all, short, err = c.endpoints(ctx, s); err != nil {
			return nil, "", err
		}
	}
	var group errgroup.Group
	group.SetLimit(checksAtOnce)
	for i := range all {
		group.Go(func() error {
			answer := httpcheck.Ask(ctx, httpcheck.Request{
				URL: all[i].URL, Addresses: all[i].addresses, Code: int(c.Status), Connect: connectLimit, Read: answerLimit,
			})
			all[i].Well, all[i].Code = answer.Err == nil, answer.Code
			all[i].Millis = float64(answer.Took.Round(time.Microsecond)) / float64(time.Millisecond)
			if answer.Err != nil {
				all[i].Reason = answer.Err.Error()
			}
			return nil
		})
	}
	_ = group.Wait()
	if ctx.Err() != nil {
		return nil, "", context.Cause(ctx)
	}
	return all, short, nil
}

// endpoints are those of the processes with ports of the ranges.
func (c *httpCheckCommand) endpoints(ctx context.Context, s *Shell) (all []endpoint, short string, err error) {
	ranges, err := s.client.Ranges(ctx, "")
	if err != nil {
		return nil, "", err
	}
	ps, err := s.client.Processes(ctx, api.Selector{}, false)
	if err != nil {
		return nil, "", err
	}
	seen := map[int]bool{}
	for _, pattern := range strings.Split(c.Port, ",") {
		if pattern = strings.TrimSpace(pattern); pattern == "" {
			continue
		}
		matches := 0
		for _, r := range ranges {
			if lease.Match(pattern, r.Name) {
				matches++
			}
		}
		if matches == 0 && !strings.Contains(pattern, "*") {
			return nil, "", fmt.Errorf("there is no range %s", quote(pattern))
		}
		having := 0
		for _, p := range ps {
			has := false
			for _, port := range p.Ports {
				if !lease.Match(pattern, port.Name) {
					continue
				}
				has = true
				number := strconv.Itoa(port.Port)
				if c.Prefix > 0 {
					number = strconv.Itoa(int(c.Prefix)) + number
				}
				if n, _ := strconv.Atoi(number); n > 65535 {
					return nil, "", &UsageError{Text: fmt.Sprintf("option -x: %d before port %d makes %s, which is no port", c.Prefix, port.Port, number)}
				}
				if !seen[port.Port] {
					seen[port.Port] = true
					url := "http://" + net.JoinHostPort("localhost", number) + "/" + strings.TrimPrefix(c.Context, "/")
					all = append(all, endpoint{URL: url, Process: p.ID, Name: p.Name, addresses: here(number)})
				}
			}
			if has {
				having++
			}
		}
		if matches > 0 && having < int(c.Instances) {
			short = fmt.Sprintf("%d of %d processes have a port of range %s", having, int(c.Instances), pattern)
		}
	}
	return all, short, nil
}

// here are the addresses at which a port of this host may be bound.
func here(port string) []string {
	var all []string
	for _, host := range []string{"127.0.0.1", "::1", hostAddress()} {
		all = append(all, net.JoinHostPort(host, port))
	}
	return all
}

type httpPostCommand struct {
	URL    webURL     `name:"url" short:"u" needed:"" placeholder:"URL" help:"where to send it"`
	Status statusCode `short:"s" placeholder:"CODE" help:"the status that is wanted; left out, any below 400"`
}

func (httpPostCommand) page() page {
	return page{
		long: `Sends a POST request without a body, once, and tells the status of the answer. Another status than the one wanted is a failure, with exit code 1.`,
		examples: []example{
			{"http post -u http://localhost:8080/reload", "have a server do something"},
			{"http post -u http://localhost:8080/reload -s 202", "wanting status 202"},
		},
	}
}

func (c *httpPostCommand) run(ctx context.Context, s *Shell) error {
	answer := httpcheck.Ask(ctx, httpcheck.Request{
		Method: "POST", URL: string(c.URL), Code: int(c.Status), Connect: connectLimit, Read: answerLimit,
	})
	if answer.Err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s: %w", oneLine(string(c.URL)), answer.Err)
	}
	s.out.printf("%s: %d\n", oneLine(string(c.URL)), answer.Code)
	return nil
}
