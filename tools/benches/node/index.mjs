// What one would write in TypeScript's world: Powertools for the secret, the parsing, the log line and the metric, and the SDK for
// the same record under the same condition as the bridge's.

import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

import { Logger } from '@aws-lambda-powertools/logger';
import { MetricUnit, Metrics } from '@aws-lambda-powertools/metrics';
import { getSecret } from '@aws-lambda-powertools/parameters/secrets';
import { JSONStringified } from '@aws-lambda-powertools/parser/helpers';
import { APIGatewayProxyEventV2Schema } from '@aws-lambda-powertools/parser/schemas/api-gatewayv2';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, PutCommand } from '@aws-sdk/lib-dynamodb';
import { z } from 'zod';

const logger = new Logger({ serviceName: 'rail' });
const metrics = new Metrics({ namespace: 'bridge', serviceName: 'rail' });
const table = DynamoDBDocumentClient.from(new DynamoDBClient({}));

const Delivery = APIGatewayProxyEventV2Schema.extend({
  body: JSONStringified(z.object({ event_id: z.string(), event_type: z.string(), event_date: z.string() })),
});

export const handler = async (event, context) => {
  logger.addContext(context);
  const now = Date.now();
  const signedAt = event.headers['x-rail-timestamp'] ?? '';
  if (!(Math.abs(now / 1000 - Number(signedAt)) <= 300) || !(await isSigned(event, signedAt))) {
    logger.warn('refused');
    return answer(401, { error: 'unauthorized' });
  }
  const { body: rail } = Delivery.parse(event);
  try {
    await table.send(new PutCommand({
      TableName: process.env.TABLE_NAME,
      Item: {
        pk: `rail#${rail.event_id}`,
        provider: 'rail',
        event_type: rail.event_type,
        occurred_at: rail.event_date,
        received_at: now,
        state: 'delivered',
        body: Buffer.from(event.body),
        body_sha256: createHash('sha256').update(event.body).digest('hex'),
        expires_at: Math.floor(now / 1000) + 90 * 24 * 60 * 60,
      },
      ConditionExpression: 'attribute_not_exists(pk)',
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    }));
  } catch (error) {
    if (error.name !== 'ConditionalCheckFailedException') throw error;
    return answer(200, { status: 'duplicate' });
  }
  metrics.addMetric('Received', MetricUnit.Count, 1);
  metrics.publishStoredMetrics();
  logger.info('accepted', { event_id: rail.event_id, event_type: rail.event_type, latency_ms: Date.now() - now });
  return answer(200, { status: 'accepted' });
};

async function isSigned(event, signedAt) {
  const secret = await getSecret(process.env.SIGNING_SECRET_ID, { transform: 'json', maxAge: 300 });
  const [key] = Object.values(secret.keys);
  const wanted = createHmac('sha256', key).update(`${signedAt}.${event.body}`).digest();
  const given = Buffer.from(event.headers['x-rail-signature'] ?? '', 'hex');
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

function answer(statusCode, body) {
  return { statusCode, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}
