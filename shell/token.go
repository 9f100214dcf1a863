package shell

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"berth/api"
)

// tokenCommands are the commands on tokens.
type tokenCommands struct {
	Add    tokenAddCommand `cmd:"" help:"make a token and print it, this once"`
	Ls     tokenLsCommand  `cmd:"" help:"list tokens"`
	Del    tokenDelCommand `cmd:"" help:"revoke tokens"`
	Whoami whoamiCommand   `cmd:"" help:"show who the daemon takes you for"`
}

func (tokenCommands) page() page {
	return page{
		long: `A token says who calls where the kernel cannot: over TCP, or from a user who may do less on the socket. It has a role: read sees, lease acquires leases and releases its own, exec deploys and starts and stops processes, admin does everything. The daemon keeps a hash of it only.

A caller shows it by BERTH_TOKEN in its environment, or better by BERTH_TOKEN_FILE, a file that holds it; there is no option for it, since others can read a command line.`,
		examples: []example{
			{"token add -name ci -role lease", "make a token that may lease"},
			{"token ls", "list all tokens"},
		},
	}
}

type tokenAddCommand struct {
	Name    string     `short:"n" placeholder:"NAME" needed:"" help:"name of the token: letters, digits, '.', '_' and '-'"`
	Role    role       `placeholder:"ROLE" needed:"" complete:"role" help:"what may be done with it: read, lease, exec or admin"`
	Expires lifetime   `placeholder:"TIME" help:"how long it is taken: 12h, 30d; for ever if left out"`
	Owner   string     `placeholder:"NAME" complete:"owner" help:"whose the leases are that are acquired with it; the token's name if left out"`
	Quota   leaseCount `placeholder:"N" help:"how many leases the owner may have at a time"`
	File    string     `short:"f" placeholder:"FILE" complete:"file" help:"write it into a new file that only you can read, and print nothing of it"`
	outputOption
}

func (tokenAddCommand) page() page {
	return page{
		long: `Makes a token and prints it: 256 random bits behind "berth_". It is shown this once; the daemon keeps a hash of it. With -f it goes into a file, mode 0600, which BERTH_TOKEN_FILE can name.

The leases that are acquired with it are those of its owner, and only those can be renewed and released with it, unless its role is admin. Several tokens may have one owner. With -quota an acquire is refused by which the owner would have more leases than that; berth quota sets it for an owner however it calls.

With the role exec commands can be run as the user of the daemon: give it to whom you would give a shell of that user.`,
		examples: []example{
			{"token add -name ci -role lease -expires 30d -quota 10", "let a build lease up to ten ports for a month"},
			{"token add -name deploy -role exec -f /run/secrets/berth", "put a token where a service reads it"},
			{"token add -name web-2 -role lease -owner web", "give an owner a second token"},
		},
	}
}

func (c *tokenAddCommand) run(ctx context.Context, s *Shell) error {
	var f *os.File
	if c.File != "" {
		// Before the token is made: where it cannot be written none should be.
		var err error
		if f, err = os.OpenFile(c.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
			return fmt.Errorf("option -f: %w", err)
		}
		defer f.Close()
	}
	added, err := s.client.AddToken(ctx, api.AddToken{
		Name: c.Name, Role: string(c.Role), Owner: c.Owner, Quota: int(c.Quota), ExpiresInSeconds: int64(time.Duration(c.Expires).Seconds()),
	})
	if f != nil && err == nil {
		_, err = fmt.Fprintln(f, added.Secret)
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			err = fmt.Errorf("%w: the token is made and lost: berth token del -n %s", err, c.Name)
		}
		added.Secret = ""
	}
	if err != nil {
		if f != nil {
			os.Remove(c.File)
		}
		return err
	}
	return list(s, c.Output, []api.AddedToken{added}, func() {
		if f != nil {
			s.out.printf("token %s is in %s\n", added.Name, c.File)
			return
		}
		s.out.printf("%s\n", added.Secret)
		s.note("this is shown once; the caller sets BERTH_TOKEN to it, or BERTH_TOKEN_FILE to a file that holds it")
	})
}

type tokenLsCommand struct {
	Name string `short:"n" placeholder:"PATTERN" pattern:"" complete:"token" help:"only tokens whose names match"`
	outputOption
}

func (tokenLsCommand) page() page {
	return page{
		long: `Lists the tokens, without what they are: that was shown when they were made. A token that has expired is listed until it is deleted, and is not taken.`,
		examples: []example{
			{"token ls", "list all tokens"},
			{"token ls -n 'ci*' -o json", "list some, as JSON"},
		},
	}
}

func (c *tokenLsCommand) run(ctx context.Context, s *Shell) error {
	tokens, err := s.client.Tokens(ctx, c.Name)
	if err != nil {
		return err
	}
	return list(s, c.Output, tokens, func() {
		if len(tokens) == 0 {
			s.note("there are no tokens%s", matchingName(c.Name))
			return
		}
		t := table{head: []string{"NAME", "ROLE", "OWNER", "QUOTA", "CREATED", "EXPIRES", "BY"}}
		for _, k := range tokens {
			expires := "never"
			switch {
			case k.Expired:
				expires = s.out.bad("expired")
			case !k.Expires.IsZero():
				expires = k.Expires.Local().Format("2006-01-02 15:04")
			}
			quota := "-"
			if k.Quota > 0 {
				quota = strconv.Itoa(k.Quota)
			}
			t.add(oneLine(k.Name), k.Role, oneLine(k.Owner), quota, k.Created.Local().Format("2006-01-02 15:04"), expires, oneLine(k.By))
		}
		s.out.table(t)
	})
}

// matchingName says which names were looked for, where not all were.
func matchingName(pattern string) string {
	if pattern == "" || pattern == "*" {
		return ""
	}
	return fmt.Sprintf(" %s", quote(pattern))
}

type tokenDelCommand struct {
	Name string `short:"n" placeholder:"PATTERN" needed:"" pattern:"" complete:"token" help:"name of the token, or a pattern with *"`
	outputOption
}

func (tokenDelCommand) page() page {
	return page{
		long: `Revokes tokens. From then on nobody is known by them, and streams that were opened with them end. Leases that were acquired with them stay.`,
		examples: []example{
			{"token del -n ci", "revoke a token"},
			{"token del -n 'ci-*'", "revoke several"},
		},
	}
}

func (c *tokenDelCommand) run(ctx context.Context, s *Shell) error {
	deleted, err := s.client.DeleteTokens(ctx, c.Name)
	if err != nil {
		return err
	}
	return list(s, c.Output, deleted, func() {
		if len(deleted) == 0 {
			s.note("there are no tokens%s", matchingName(c.Name))
		}
		for _, k := range deleted {
			s.out.printf("revoked %s\n", oneLine(k.Name))
		}
	})
}

type whoamiCommand struct{ outputOption }

func (whoamiCommand) page() page {
	return page{
		long: `Shows who the daemon takes you for: the user that has connected to its socket, or the token that was shown, what you may do, and whose your leases are.`,
		examples: []example{
			{"token whoami", "show who you are to the daemon"},
		},
	}
}

func (c *whoamiCommand) run(ctx context.Context, s *Shell) error {
	me, err := s.client.Whoami(ctx)
	if err != nil {
		return err
	}
	return list(s, c.Output, []api.Whoami{me}, func() {
		t := table{}
		add := func(name, value string) {
			if value != "" {
				t.add(name, oneLine(value))
			}
		}
		if me.UID != nil {
			add("user", strings.TrimSpace(fmt.Sprintf("%s (%d)", me.User, *me.UID)))
		}
		add("token", me.Token)
		add("address", me.Address)
		add("role", me.Role)
		add("owner", me.Owner)
		s.out.table(t)
	})
}

// role is what a caller may do.
type role string

func (r *role) UnmarshalText(text []byte) error {
	switch v := string(text); v {
	case api.RoleRead, api.RoleLease, api.RoleExec, api.RoleAdmin:
		*r = role(v)
		return nil
	}
	return fmt.Errorf("%s is not read, lease, exec or admin", quote(string(text)))
}

// lifetime is how long something is good: 12h, 30d; from a second to ten years.
type lifetime time.Duration

const maxLifetime = 10 * 365 * 24 * time.Hour

func (l *lifetime) UnmarshalText(text []byte) error {
	var d time.Duration
	var err error
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(min(max(n, -1), 100_000)) * 24 * time.Hour
	} else {
		d, err = time.ParseDuration(string(text))
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s is not a time, as 90m, 12h or 30d", quote(string(text)))
	case d < time.Second || d > maxLifetime:
		return fmt.Errorf("%s is not between a second and 3650d", quote(string(text)))
	}
	*l = lifetime(d)
	return nil
}

// leaseCount is a number of leases, 1 to 131070.
type leaseCount int

func (c *leaseCount) UnmarshalText(text []byte) error {
	n, err := number(string(text), 1, 2*65535)
	*c = leaseCount(n)
	return err
}
