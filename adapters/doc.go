// Package adapters holds what other people's libraries need of Fairlead, a module each:
// kratos/etcd and gokit/sd/etcdv3 are registries for these frameworks, prom and otel turn what a
// client reports to its hooks into metrics for Prometheus and OpenTelemetry. Both of these count
// the same things:
//
//	Prometheus                           OpenTelemetry                    attributes
//	fairlead_attempts_total              fairlead.attempts                method, member, code
//	fairlead_attempt_duration_seconds    fairlead.attempt.duration (s)    method, member
//	fairlead_repeats_total               fairlead.repeats                 method
//	fairlead_hedges_total                fairlead.hedges                  method
//	fairlead_member_changes_total        fairlead.member.changes          member, state
//	fairlead_member_state                fairlead.member.state            member, state
//	fairlead_member_latency_seconds      fairlead.member.latency (s)      member
//	fairlead_streams_opened_total        fairlead.streams.opened          service, member
//	fairlead_streams_failed_total        fairlead.streams.failed          service, member, code
//	fairlead_watches                     fairlead.watches                 none
//	fairlead_watches_failed_total        fairlead.watches.failed          code
//	fairlead_lease_events_total          fairlead.lease.events            event
//	fairlead_leases_lost_total           fairlead.leases.lost             reason
//	fairlead_leases_at_risk              fairlead.leases.at_risk          none
//
// For services that package discovery finds, prom.Services and otel.Services report the instances
// and the split as balancers see them, the age of each view of a service, and what happens to the
// instances that this process registers:
//
//	fairlead_instance_ejections_total      fairlead.instance.ejections      service, instance, reason
//	fairlead_instance_returns_total        fairlead.instance.returns        service, instance
//	fairlead_instance_attempts_total       fairlead.instance.attempts       as these, kind, outcome
//	fairlead_instance_ejected              fairlead.instance.ejected        service, instance
//	fairlead_instance_trial                fairlead.instance.trial          service, instance
//	fairlead_instance_draining             fairlead.instance.draining       service, instance
//	fairlead_instance_share                fairlead.instance.share          service, instance
//	fairlead_instance_outstanding          fairlead.instance.outstanding    service, instance
//	fairlead_instance_latency_seconds      fairlead.instance.latency (s)    service, instance
//	fairlead_split_percent                 fairlead.split.percent           service, subset
//	fairlead_split_share                   fairlead.split.share             service, subset
//	fairlead_split_instances               fairlead.split.instances         service, subset
//	fairlead_view_age_seconds              fairlead.view.age (s)            service, cluster
//	fairlead_view_stale                    fairlead.view.stale              service, cluster
//	fairlead_view_used                     fairlead.view.used               service, cluster
//	fairlead_view_instances                fairlead.view.instances          service, cluster
//	fairlead_registration_events_total     fairlead.registration.events     service, event
//
// The time that instances took to drain is in fairlead_registration_drain_seconds_total and
// fairlead.registration.drain.duration (s), by service.
//
// The reason of an ejection is "failed" or "silent". The kind of an attempt is "first", "retry" or
// "hedge". The first cluster has no name.
//
// An attempt is one request. A call that the client repeats or sends twice has several, which are
// also counted as repeats and hedges. Code is gRPC's, like "Unavailable"; "OK" for success. The
// state of a member is one of clientv3.MemberState; its series is 1 for the member's present state
// and 0 for the others. Member states and latencies are collected from the clients that were
// handed to Follow. Event is a clientv3.LeaseEvent, and reason is that of a clientv3.LeaseInfo.
package adapters
