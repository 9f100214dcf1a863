package shell

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"berth/api"
)

// auditLines is how many changes audit shows if it is not told.
const auditLines = 20

type auditCommand struct {
	Lines  *lineCount `short:"n" placeholder:"N" help:"the last N changes; 20 if left out, at most 10000"`
	Follow bool       `short:"f" help:"go on with what is asked for"`
	outputOption
}

func (auditCommand) page() page {
	return page{
		long: `Shows the last changes that were asked of the daemon, the oldest first: when, who (the user, or the token that was shown, and over TCP from where), what, and what became of it. What was refused is shown too. It needs the role admin.

The daemon keeps them in the file audit.log of its state folder, a line of JSON each, and older ones in audit.log.1 to audit.log.9. No secrets are in it. A change is written there before it is answered.`,
		examples: []example{
			{"audit", "show the last changes"},
			{"audit -n 1000 -o json", "show the last thousand, as JSON"},
			{"audit -f -n 0", "show what is asked for from now on"},
		},
	}
}

func (c *auditCommand) run(ctx context.Context, s *Shell) error {
	n := auditLines
	if c.Lines != nil {
		n = min(int(*c.Lines), 10_000)
	}
	if !c.Follow {
		records, err := s.client.Audit(ctx, n)
		if err != nil {
			return err
		}
		return list(s, c.Output, records, func() {
			if len(records) == 0 {
				s.note("no change was asked for yet")
			}
			for _, r := range records {
				s.printAudit(r)
			}
		})
	}
	for r, err := range s.client.FollowAudit(ctx, n) {
		if err != nil {
			return err
		}
		switch c.Output {
		case asJSON:
			enc := json.NewEncoder(s.out)
			enc.SetEscapeHTML(false)
			err = enc.Encode(r)
		case asYAML:
			err = list(s, c.Output, []api.AuditRecord{r}, nil) // lists behind each other are one
		default:
			s.printAudit(r)
		}
		if err == nil {
			err = s.out.Flush() // what happens is seen at once
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Shell) printAudit(r api.AuditRecord) {
	outcome := s.out.good("done")
	switch {
	case r.Status == 499:
		outcome = s.out.odd("not waited for")
	case r.Status >= 400 && r.Code != "":
		outcome = s.out.bad(oneLine(r.Code))
	case r.Status >= 400:
		outcome = s.out.bad(strconv.Itoa(r.Status))
	}
	at := s.out.faint(r.Time.Local().Format("2006-01-02 15:04:05.000"))
	line := fmt.Sprintf("%s  %-20s  %-20s  %s  %s", at, oneLine(auditCaller(r)), oneLine(r.Operation), outcome, oneLine(r.Subject))
	s.out.printf("%s\n", strings.TrimRight(line, " "))
}

// auditCaller is who has asked.
func auditCaller(r api.AuditRecord) string {
	var who []string
	switch {
	case r.Token != "":
		who = append(who, "token "+r.Token)
	case r.User != "":
		who = append(who, r.User)
	case r.UID != nil:
		who = append(who, "uid "+strconv.Itoa(*r.UID))
	default:
		who = append(who, "unknown")
	}
	if r.Address != "" {
		who = append(who, r.Address)
	} else if r.Token != "" && r.User != "" {
		who = append(who, r.User)
	}
	return strings.Join(who, " ")
}
