use futures_util::FutureExt;

use super::store::{Failing, Write};
use crate::{
    ExportDescription, ExportRequest, ListedExport, RecoveryWindow, StorageError, TableExports,
};

impl<T: TableExports> TableExports for Failing<T> {
    async fn begin_export(
        &self,
        request: &ExportRequest,
    ) -> Result<ExportDescription, StorageError> {
        const OPERATION: &str = "ExportTableToPointInTime";
        let verdict = self.postpone(OPERATION, self.plan.next(OPERATION), || {
            late_export(request)
        })?;
        let work = self.counted(self.inner.begin_export(request));
        self.run_verdict(OPERATION, verdict, work).await
    }

    async fn export(&self, arn: &str) -> Result<ExportDescription, StorageError> {
        self.run("DescribeExport", self.inner.export(arn)).await
    }

    async fn exports(&self, table_arn: &str) -> Result<Vec<ListedExport>, StorageError> {
        self.run("ListExports", self.inner.exports(table_arn)).await
    }

    async fn recovery(&self, table: &str) -> Result<Option<RecoveryWindow>, StorageError> {
        self.run("DescribeContinuousBackups", self.inner.recovery(table))
            .await
    }
}

fn late_export<T: TableExports>(request: &ExportRequest) -> Write<T> {
    let request = request.clone();
    Box::new(move |store, _| {
        async move {
            let _ = store.begin_export(&request).await;
        }
        .boxed_local()
    })
}
