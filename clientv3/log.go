package clientv3

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/grpclog"
)

// debugEnv sets the level of the default logger: a level of zap, such as "debug".
const debugEnv = "ETCD_CLIENT_DEBUG"

// ClientLogLevel is the level that the environment variable ETCD_CLIENT_DEBUG asks
// for: one of zap's, info if it is not set or none of them.
func ClientLogLevel() zapcore.Level {
	var l zapcore.Level
	if err := l.Set(os.Getenv(debugEnv)); err != nil {
		return zapcore.InfoLevel
	}
	return l
}

// SetLogger sets gRPC's logger.
//
// Deprecated: use grpclog.SetLoggerV2.
func SetLogger(l grpclog.LoggerV2) { grpclog.SetLoggerV2(l) }

// newLogger builds the logger that a configuration asks for.
func newLogger(cfg *Config) (*zap.Logger, error) {
	if cfg.Logger != nil {
		return cfg.Logger, nil
	}
	if cfg.LogConfig != nil {
		return cfg.LogConfig.Build()
	}
	zc := zap.NewProductionConfig()
	zc.Level = zap.NewAtomicLevelAt(ClientLogLevel())
	return zc.Build()
}

// Limits of the log: a burst, and then a line per second. What was left out is
// counted in the next line.
const (
	logBurst = 20
	logEvery = time.Second
)

// logHandler is a slog.Handler that writes to a zap logger, which is what the
// official API lets users configure, not more often than the limits say.
type logHandler struct {
	to     *atomic.Pointer[zap.Logger]
	limit  *logLimit
	fields []zap.Field
}

type logLimit struct {
	mu      sync.Mutex
	left    int       // guarded by mu; lines that may be written at once
	last    time.Time // guarded by mu; when left was last raised
	dropped int       // guarded by mu
}

// allow reports whether a line may be written, and how many were left out before.
func (l *logLimit) allow(now time.Time) (dropped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := int(now.Sub(l.last) / logEvery); n > 0 {
		l.left, l.last = min(l.left+n, logBurst), now
	}
	if l.left == 0 {
		l.dropped++
		return 0, false
	}
	l.left--
	dropped, l.dropped = l.dropped, 0
	return dropped, true
}

func newSlog(to *atomic.Pointer[zap.Logger]) *slog.Logger {
	return slog.New(&logHandler{to: to, limit: &logLimit{left: logBurst, last: time.Now()}})
}

func zapLevel(l slog.Level) zapcore.Level {
	switch {
	case l >= slog.LevelError:
		return zapcore.ErrorLevel
	case l >= slog.LevelWarn:
		return zapcore.WarnLevel
	case l >= slog.LevelInfo:
		return zapcore.InfoLevel
	}
	return zapcore.DebugLevel
}

func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool {
	lg := h.to.Load()
	return lg != nil && lg.Core().Enabled(zapLevel(l))
}

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	dropped, ok := h.limit.allow(time.Now())
	if !ok {
		return nil
	}
	fields := append([]zap.Field(nil), h.fields...)
	r.Attrs(func(a slog.Attr) bool {
		fields = append(fields, zap.Any(a.Key, a.Value.Any()))
		return true
	})
	if dropped > 0 {
		fields = append(fields, zap.Int("lines-left-out", dropped))
	}
	if lg := h.to.Load(); lg != nil {
		lg.Log(zapLevel(r.Level), r.Message, fields...)
	}
	return nil
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.fields = append([]zap.Field(nil), h.fields...)
	for _, a := range attrs {
		c.fields = append(c.fields, zap.Any(a.Key, a.Value.Any()))
	}
	return &c
}

func (h *logHandler) WithGroup(string) slog.Handler { return h } // our own lines use none
