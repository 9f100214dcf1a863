package badger

import (
	"fmt"
	"log/slog"
	"strings"
)

// logger hands Badger's messages on.
type logger struct{ *slog.Logger }

func (l logger) Errorf(format string, args ...any)   { l.Error(message(format, args)) }
func (l logger) Warningf(format string, args ...any) { l.Warn(message(format, args)) }
func (l logger) Infof(format string, args ...any)    { l.Debug(message(format, args)) }
func (l logger) Debugf(string, ...any)               {}

func message(format string, args []any) string {
	return "badger: " + strings.TrimSpace(fmt.Sprintf(format, args...))
}
