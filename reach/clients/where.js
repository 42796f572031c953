// Calls xds:///SERVICE all the time, and prints who answers, or "! " and the error, a line for each
// call.
const grpc = require('@grpc/grpc-js');
require('@grpc/grpc-js-xds').register();

const client = new grpc.Client('xds:///' + process.argv[2], grpc.credentials.createInsecure());
const metadata = new grpc.Metadata({ waitForReady: true });
const text = (b) => b.subarray(2).toString(); // a StringValue

function call() {
  client.makeUnaryRequest(
    '/test.Where/Is',
    (b) => b,
    text,
    Buffer.alloc(0),
    metadata,
    (err, id) => {
      console.log(err ? '! ' + err.message : id);
      setTimeout(call, 2);
    },
  );
}
call();
