// A client of Lambda's Runtime API, no more than it takes: Lambda's own needs a C++ toolchain and curl's sources to install.

import http from 'node:http';

import { handler } from './index.mjs';

const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API.replace(/^http:\/\//, '')}/2018-06-01/runtime/invocation`;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(api + path, { method, agent }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(chunks).toString() }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

for (;;) {
  const next = await call('GET', '/next');
  const awsRequestId = next.headers['lambda-runtime-aws-request-id'];
  const context = {
    awsRequestId,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    invokedFunctionArn: next.headers['lambda-runtime-invoked-function-arn'],
    getRemainingTimeInMillis: () => Number(next.headers['lambda-runtime-deadline-ms']) - Date.now(),
  };
  try {
    await call('POST', `/${awsRequestId}/response`, JSON.stringify(await handler(JSON.parse(next.body), context)));
  } catch (error) {
    const failure = { errorType: error.name, errorMessage: error.message };
    await call('POST', `/${awsRequestId}/error`, JSON.stringify(failure));
  }
}
