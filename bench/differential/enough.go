package main

import (
	"fmt"
	"strings"
)

// floor is the least that must have been compared of a family: a run that compares less proves
// nothing.
type floor struct {
	programs int
	works    string // calls that must have worked at least once with the official client
	fails    string // calls that must have failed at least once with it
}

// floors are reached several times in a minute on two busy cores.
var floors = map[string]floor{
	"kv":         {10, "Get Put Delete Do Op GetStream Grant", "Get Put Do"},
	"txn":        {10, "Get Put Txn Do", "Txn"},
	"lease":      {10, "Grant Revoke TimeToLive Leases KeepAliveOnce KeepAlive Put", "Revoke KeepAliveOnce"},
	"watch":      {10, "Watch Collect Progress CancelWatch Put Delete", "Put"},
	"compaction": {10, "Compact Get Watch Collect", "Compact Get"},
	"limits":     {10, "Put Get", "Put Get"},
	"auth": {
		10,
		"New Get Put Delete Watch UserAdd RoleAdd RoleGrantPermission UserGrantRole",
		"New Get Put Delete UserAdd",
	},
	"maintenance": {10, "MemberList AlarmList Status HashKV Endpoints Sync", "MemberAdd MemberRemove Downgrade"},
	"wrappers":    {10, "Get Put Delete Txn Do Watch Collect", "Get"},
	"leasing":     {10, "Get Put Delete Txn Do", "Put"},
	"cache":       {10, "Get Put Delete Txn Watch Collect", "Get"},
	"locks": {
		10,
		"NewSession Lock TryLock Unlock Campaign Proclaim Resign Leader",
		"Lock TryLock Unlock Campaign Leader",
	},
	"stm":      {10, "STM", "STM"},
	"contexts": {10, "Get Put Grant Close", "Get Put Delete Txn Grant"},
	"frozen":   {5, "Fault", "Get Put"},
	"quorum":   {5, "Get MemberList Status", "Get Put Txn"},
	"expiry":   {3, "Grant LeaseEnded Put", ""},
}

// enough fails if too little was compared.
func enough(all []*tally) error {
	var missing []string
	for _, t := range all {
		missing = append(missing, t.missing()...)
	}
	if len(missing) > 0 {
		return fmt.Errorf("too little was compared:\n  %s", strings.Join(missing, "\n  "))
	}
	return nil
}

// missing returns what should have been compared of a family but was not.
func (t *tally) missing() []string {
	var list []string
	f := floors[t.family]
	if t.programs < f.programs {
		list = append(list, fmt.Sprintf("%s: %d programs of at least %d", t.family, t.programs, f.programs))
	}
	for _, call := range strings.Fields(f.works) {
		if t.worked[call] == 0 {
			list = append(list, fmt.Sprintf("%s: no %s worked", t.family, call))
		}
	}
	for _, call := range strings.Fields(f.fails) {
		if t.failed[call] == 0 {
			list = append(list, fmt.Sprintf("%s: no %s failed", t.family, call))
		}
	}
	return list
}
