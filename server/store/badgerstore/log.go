package badgerstore

import (
	"fmt"
	"log/slog"
	"strings"
)

// logger passes the database's warnings and errors on, and nothing else.
type logger struct{ log *slog.Logger }

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("database: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (l logger) Warningf(format string, args ...any) {
	l.log.Warn("database: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (logger) Infof(string, ...any)  {}
func (logger) Debugf(string, ...any) {}
