package api

import (
	"net/http"
	"sync/atomic"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// health are the routes that need no token: they tell nothing of incidents.
func (s *Server) health() {
	s.app.Get("/healthz", func(c *fiber.Ctx) error { return c.JSON(map[string]string{"status": "ok"}) })
	s.app.Get("/readyz", func(c *fiber.Ctx) error {
		if err := s.o.Ready(); err != nil {
			c.Status(http.StatusServiceUnavailable)
			return c.JSON(map[string]string{"status": "not ready", "reason": err.Error()})
		}
		return c.JSON(map[string]string{"status": "ready"})
	})
	s.app.Get("/metrics", adaptor.HTTPHandler(promhttp.HandlerFor(s.metrics(), promhttp.HandlerOpts{})))
}

// metrics registers what the parts count.
func (s *Server) metrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	e := &s.o.Engine.Stats
	for _, m := range []struct {
		name, help string
		from       *atomic.Int64
	}{
		{"riposte_alarms_unmatched_total", "Alarms that no rule wanted.", &e.Unmatched},
		{"riposte_alarms_matched_total", "Alarms that a rule wanted.", &e.Matched},
		{"riposte_alarms_joined_total", "Alarms that joined an open incident.", &e.Joined},
		{"riposte_alarms_unparsed_total", "Alarms that could not be parsed and are kept.", &e.Unparsed},
		{"riposte_incidents_opened_total", "Incidents opened.", &e.Opened},
		{"riposte_rule_errors_total", "Rules that could not be evaluated for an alarm.", &e.RuleErrors},
		{"riposte_runs_started_total", "Runs started.", &e.RunsStarted},
		{"riposte_runs_finished_total", "Runs that ended.", &e.RunsFinished},
		{"riposte_runs_failed_total", "Runs that ended otherwise than by success.", &e.RunsFailed},
		{"riposte_actions_total", "Invocations begun.", &e.Actions},
		{"riposte_actions_failed_total", "Invocations that ended with a fault.", &e.ActionsFailed},
		{"riposte_syslog_messages_total", "Messages received by syslog.", &s.syslog.Messages},
		{"riposte_syslog_bytes_total", "Bytes of these messages.", &s.syslog.Bytes},
		{"riposte_syslog_cut_total", "Messages cut at the size limit.", &s.syslog.Cut},
		{"riposte_syslog_resyncs_total", "Times that an octet count was wrong.", &s.syslog.Resyncs},
		{"riposte_syslog_failed_total", "Messages that could not be stored.", &s.syslog.Failed},
		{"riposte_syslog_dropped_total", "Datagrams that the kernel dropped before they were read.", &s.syslog.Dropped},
		{"riposte_syslog_refused_connections_total", "Connections refused because there were too many.", &s.syslog.Refused},
	} {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: m.name, Help: m.help}, load(m.from)))
	}
	r.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "riposte_actions_in_flight", Help: "Invocations that have begun and not ended."}, load(&e.InFlight)),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "riposte_alarms_waiting", Help: "Alarms that wait on disk for a run."}, func() float64 { return float64(s.o.Engine.Backlog()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "riposte_syslog_connections", Help: "Open syslog connections."}, load(&s.syslog.Open)),
	)
	return r
}

func load(n *atomic.Int64) func() float64 { return func() float64 { return float64(n.Load()) } }
