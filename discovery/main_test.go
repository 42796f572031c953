package discovery_test

import (
	"testing"

	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

var ok = clienttest.OK
