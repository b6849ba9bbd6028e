import 'graphiql/style.css';
import './graphiql.css';
import { GraphiQL } from 'graphiql';
import { createRoot } from 'react-dom/client';
import { fetcher } from './fetcher';

const query = `# Log in with POST /api/v1/auth/login and put
# the access token behind "Bearer " in Headers
# below. Subscriptions send it too.
{
  consultations(first: 5) {
    edges {
      node {
        id
        title
        state
      }
    }
  }
}
`;
const headers = JSON.stringify({ Authorization: 'Bearer ' }, null, 2);

const place = document.getElementById('graphiql');
if (!place) throw new Error('the page has no #graphiql');
createRoot(place).render(
  <GraphiQL fetcher={fetcher} defaultQuery={query} defaultHeaders={headers} isHeadersEditorEnabled defaultEditorToolsVisibility="headers">
    <GraphiQL.Logo><a href="/">Docket</a></GraphiQL.Logo>
  </GraphiQL>,
);
