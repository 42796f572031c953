package clientv3

import (
	"os"
	"slices"
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

// limitedCore writes to the logger that is set now, not more often than the limits say.
type limitedCore struct {
	to     *atomic.Pointer[zap.Logger]
	limit  *logLimit
	fields []zap.Field
}

type logLimit struct {
	_       [0]func() // not comparable, see balancer.conn
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

// limited is the logger of the client's parts.
func limited(to *atomic.Pointer[zap.Logger]) *zap.Logger {
	return zap.New(&limitedCore{to: to, limit: &logLimit{left: logBurst, last: time.Now()}})
}

func (c *limitedCore) Enabled(l zapcore.Level) bool { return c.to.Load().Core().Enabled(l) }

func (c *limitedCore) With(fields []zap.Field) zapcore.Core {
	return &limitedCore{to: c.to, limit: c.limit, fields: slices.Concat(c.fields, fields)}
}

func (c *limitedCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) {
		return ce
	}
	return ce.AddCore(e, c)
}

func (c *limitedCore) Write(e zapcore.Entry, fields []zap.Field) error {
	dropped, ok := c.limit.allow(time.Now())
	if !ok {
		return nil
	}
	fields = slices.Concat(c.fields, fields)
	if dropped > 0 {
		fields = append(fields, zap.Int("lines-left-out", dropped))
	}
	c.to.Load().Log(e.Level, e.Message, fields...)
	return nil
}

func (c *limitedCore) Sync() error { return c.to.Load().Sync() }
