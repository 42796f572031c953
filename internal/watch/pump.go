package watch

// A pump is a goroutine that delivers one watcher's backlog and ends with it. While it runs nothing
// else calls the sink, and the pump calls End if the watcher ends meanwhile.

import (
	"context"
	"time"
)

// startPump starts a pump for w, whose backlog has just begun. The caller holds e.mu.
func (e *Engine) startPump(w *watcher) {
	if w.host.stop != nil {
		return // the previous pump is about to read the backlog again
	}
	stop := make(chan struct{})
	w.host.stop = stop
	if !e.work.Go(func(context.Context) { e.pump(w, stop) }) {
		w.host.stop = nil
	}
}

func (e *Engine) pump(w *watcher, stop chan struct{}) {
	for {
		e.lock()
		it, ok := e.core.head(w)
		if !ok {
			w.host.stop = nil
			if w.dropped {
				e.endSink(w)
			}
			e.mu.Unlock()
			return
		}
		sink := w.host.sink
		e.mu.Unlock()

		if sink.Deliver(it.d, stop) {
			e.lock()
			e.core.taken(time.Now(), w)
			e.run()
		} else {
			<-stop // closed already; and the watcher's backlog has been dropped
		}
	}
}

// stopSink ends the delivery to a consumer that has gone. The caller holds e.mu.
func (e *Engine) stopSink(w *watcher) {
	if w.host.stop == nil {
		e.endSink(w)
		return
	}
	select {
	case <-w.host.stop: // closed already
	default:
		close(w.host.stop)
	}
}
