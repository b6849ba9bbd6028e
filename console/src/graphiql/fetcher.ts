import { createGraphiQLFetcher, type Fetcher } from '@graphiql/toolkit';
import { buildSchema, introspectionFromSchema } from 'graphql';
import { createClient } from 'graphql-ws';

const path = '/graphql';
const socketAddress = `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}${path}`;

/** The headers as typed, without an Authorization that names no token: that would be refused where no header at all is not. */
function filledIn(typed: Record<string, unknown> | undefined): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(typed ?? {})) {
    if (typeof value !== 'string') continue;
    if (name.toLowerCase() === 'authorization' && /^(bearer)?\s*$/i.test(value)) continue;
    headers[name] = value;
  }
  return headers;
}

const authorization = (headers: Record<string, string>): string | undefined =>
  Object.entries(headers).find(([name]) => name.toLowerCase() === 'authorization')?.[1];

/** The schema as its public file tells it, in the form of an introspection's answer. */
async function schemaFile() {
  const answer = await fetch('/schema.graphql', { cache: 'no-cache' });
  if (!answer.ok) throw new Error(`/schema.graphql answered ${answer.status}`);
  return { data: { ...introspectionFromSchema(buildSchema(await answer.text())) } };
}

/**
 * POST for queries, one WebSocket a subscription: a browser cannot set headers on a socket, so the token goes into the connection's
 * parameters, and a socket of its own means that the token typed last is the one sent.
 *
 * The schema is read from its public file, so that completion and documentation work before anyone has logged in and where
 * introspection is off (as in production). Introspection is the second try.
 */
export const fetcher: Fetcher = async (params, options) => {
  if (params.operationName === 'IntrospectionQuery') {
    try {
      return await schemaFile();
    } catch { /* not there, or newer than this page understands */ }
  }
  const headers = filledIn(options?.headers);
  const token = authorization(headers);
  const send = createGraphiQLFetcher({
    url: path,
    wsClient: createClient({ url: socketAddress, lazy: true, retryAttempts: 2, connectionParams: token ? { authorization: token } : {} }),
  });
  return send(params, { ...options, headers });
};
